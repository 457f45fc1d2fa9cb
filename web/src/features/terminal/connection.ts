import { api, unwrap } from "@/api/client";
import { ApiError, asApiError } from "@/api/errors";
import type { ExecRequest, TerminalSize } from "@/api/types";

/** First bytes of binary frames. */
const STDIN = 0;
/** Bytes of one frame of input. */
const MAX_DATA = 32 * 1024;
/** A browser reads as fast as the network brings. Bytes not yet shown at which the server is told to wait, and to go on. */
const [PAUSE, RESUME] = [1024 * 1024, 128 * 1024];

/** How a session ended. */
export type End = { type: "exit"; code: number } | { type: "failed"; error: ApiError };

interface Listener {
  opened(where: { node: string; release: number }): void;
  /** `shown` is to be called once the data is on the screen. */
  output(data: Uint8Array, shown: () => void): void;
  ended(end: End): void;
}

export interface Connection {
  type(text: string): void;
  resize(size: TerminalSize): void;
  close(): void;
}

/** Runs a program in an instance of the app, in a terminal. Ends once, by itself or by `close`, which says nothing. */
export function connect(app: string, request: ExecRequest, listener: Listener): Connection {
  let socket: WebSocket | undefined;
  let over = false;
  const end = (how: End) => {
    if (over) return;
    over = true;
    socket?.close();
    listener.ended(how);
  };
  const begin = async () => {
    const session = await unwrap(
      api.POST("/api/v1/apps/{app}/exec", { params: { path: { app } }, body: request }),
    );
    if (over) return;
    socket = new WebSocket(address(session.id));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => listener.opened(session);
    socket.onmessage = ({ data }) => {
      if (over) return;
      if (typeof data === "string") end(lastWords(data));
      else show(new Uint8Array(data as ArrayBuffer, 1));
    };
    socket.onclose = () => end({ type: "failed", error: lost() });
  };
  begin().catch((error: unknown) => end({ type: "failed", error: asApiError(error) }));

  let [pending, paused] = [0, false];
  const pace = (change: number) => {
    pending += change;
    if (paused ? pending > RESUME : pending < PAUSE) return;
    paused = !paused;
    send(JSON.stringify({ type: paused ? "pause" : "resume" }));
  };
  const show = (data: Uint8Array) => {
    pace(data.length);
    listener.output(data, () => pace(-data.length));
  };
  const send = (data: string | Uint8Array<ArrayBuffer>) => {
    if (!over && socket?.readyState === WebSocket.OPEN) socket.send(data);
  };
  return {
    type: (text) => {
      for (const frame of frames(text)) send(frame);
    },
    resize: (size) => send(JSON.stringify({ type: "resize", ...size })),
    close: () => {
      over = true;
      socket?.close();
    },
  };
}

function address(id: string): string {
  const url = new URL(`/api/v1/exec/${id}`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  return url.href;
}

/** Input in frames that the server takes: what is pasted may be long. */
export function frames(text: string): Uint8Array<ArrayBuffer>[] {
  const bytes = new TextEncoder().encode(text);
  const all: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 0; at < bytes.length; at += MAX_DATA) {
    const piece = bytes.subarray(at, at + MAX_DATA);
    const frame = new Uint8Array(piece.length + 1);
    frame[0] = STDIN;
    frame.set(piece, 1);
    all.push(frame);
  }
  return all;
}

function lastWords(text: string): End {
  const said = JSON.parse(text) as { type: string; code: never; message: string; hint: string | null };
  if (said.type === "exit") return { type: "exit", code: said.code };
  return { type: "failed", error: new ApiError(0, said) };
}

function lost() {
  return new ApiError(0, {
    code: "unreachable",
    message: "The connection was lost.",
    hint: "The program was hung up on; what it started with nohup goes on.",
  });
}
