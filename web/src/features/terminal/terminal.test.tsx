import { act, screen } from "@testing-library/react";
import { Outlet } from "react-router";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Instance } from "@/api/types";
import { makeApp, makeInstance, makeNode, session } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { frames } from "./connection";
import { Component as Page } from "./page";
import type { openScreen } from "./screen";

/** What the page writes on its screen, and how the test types. */
let shown: string[] = [];
let pending: (() => void)[] = [];
let keyboard: Parameters<typeof openScreen>[1];

vi.mock("./screen", () => ({
  openScreen: (_host: HTMLElement, listener: typeof keyboard) => {
    keyboard = listener;
    return {
      size: () => ({ cols: 80, rows: 24 }),
      write(data: Uint8Array, done: () => void) {
        shown.push(new TextDecoder().decode(data));
        pending.push(done);
      },
      focus() {},
      dispose() {},
    };
  },
}));

class Socket {
  static OPEN = 1;
  static last: Socket | undefined;
  readyState = 1;
  sent: (string | Uint8Array)[] = [];
  closed = false;
  onopen?: () => void;
  onmessage?: (event: { data: ArrayBuffer | string }) => void;
  onclose?: () => void;
  constructor(readonly url: string) {
    Socket.last = this;
  }
  send(data: string | Uint8Array) {
    this.sent.push(data);
  }
  close() {
    this.closed = true;
  }
  says(data: Uint8Array<ArrayBuffer> | string) {
    act(() => this.onmessage?.({ data: typeof data === "string" ? data : data.buffer }));
  }
}

const app = makeApp("shop");
const running = makeInstance(makeNode("worker-1"), { wanted: true, state: "healthy" });

function open(role: "viewer" | "developer" = "developer", instances: Instance[] = [running], of = app) {
  answer("get", "/api/v1/session", { ...session, organization: { ...session.organization, role } });
  answer("get", "/api/v1/apps/{app}/instances", { items: instances, next: null });
  const layout = { path: "/apps/:app", element: <Outlet context={of} /> };
  return renderAt("/apps/shop/terminal", [{ ...layout, children: [{ path: "terminal", Component: Page }] }]);
}

async function connected() {
  const asked = answer(
    "post",
    "/api/v1/apps/{app}/exec",
    { id: "s-1", instance: running.id, node: "worker-1", release: 7 },
    201,
  );
  const view = open();
  await view.user.click(await screen.findByRole("button", { name: "Connect" }));
  await vi.waitFor(() => expect(Socket.last).toBeDefined());
  const socket = Socket.last as Socket;
  act(() => socket.onopen?.());
  return { ...view, asked, socket };
}

beforeEach(() => {
  shown = [];
  pending = [];
  Socket.last = undefined;
  vi.stubGlobal("WebSocket", Socket);
});

describe("the terminal", () => {
  it("opens a shell where the server says, passes keys and sizes on, and says how it ended", async () => {
    const { asked, socket } = await connected();
    expect(asked).toEqual([
      { command: ["sh"], instance: null, fresh: false, terminal: { cols: 80, rows: 24 } },
    ]);
    expect(socket.url).toMatch(/^ws:.*\/api\/v1\/exec\/s-1$/);
    expect(await screen.findByText("worker-1, release v7")).toBeInTheDocument();
    keyboard.typed("ls\r");
    keyboard.resized({ cols: 100, rows: 30 });
    expect(socket.sent).toEqual([
      Uint8Array.from([0, ...new TextEncoder().encode("ls\r")]),
      '{"type":"resize","cols":100,"rows":30}',
    ]);
    socket.says(Uint8Array.from([1, 104, 105]));
    expect(shown).toEqual(["hi"]);
    socket.says('{"type":"exit","code":3}');
    expect(await screen.findByText("The shell ended with exit code 3")).toBeInTheDocument();
    expect(socket.closed).toBe(true);
  });
  it("opens in a container of its own, also while no instance runs", async () => {
    const asked = answer(
      "post",
      "/api/v1/apps/{app}/exec",
      { id: "s-1", instance: null, node: "worker-1", release: 7 },
      201,
    );
    const { user } = open("developer", []);
    expect(await screen.findByLabelText("Where")).toHaveDisplayValue("A fresh container");
    await user.click(screen.getByRole("button", { name: "Connect" }));
    await vi.waitFor(() => expect(asked).toHaveLength(1));
    expect(asked[0]).toMatchObject({ command: ["sh"], instance: null, fresh: true });
  });
  it("tells the server to wait while it shows less than comes", async () => {
    const { socket } = await connected();
    for (let count = 0; count < 40; count += 1) socket.says(new Uint8Array(32 * 1024));
    expect(socket.sent).toEqual(['{"type":"pause"}']);
    for (const done of pending) done();
    expect(socket.sent).toEqual(['{"type":"pause"}', '{"type":"resume"}']);
  });
  it("says what to do when the session fails or cannot begin", async () => {
    const { socket, user } = await connected();
    socket.says('{"type":"failed","code":"idle","message":"nothing was typed","hint":"type"}');
    expect(await screen.findByText("Nothing was typed")).toBeInTheDocument();
    refuse("post", "/api/v1/apps/{app}/exec", 429, { code: "too_many", message: "too many sessions" });
    await user.click(screen.getByRole("button", { name: "Connect again" }));
    expect(await screen.findByText("Too many sessions")).toBeInTheDocument();
  });
  it("hangs up when the page is left", async () => {
    const { socket, unmount } = await connected();
    unmount();
    expect(socket.closed).toBe(true);
  });
  it("is for those whose role runs programs, and for apps that run", async () => {
    const { unmount } = open("viewer");
    expect(await screen.findByText("Your role has no terminal")).toBeInTheDocument();
    unmount();
    const exited = makeInstance(makeNode("worker-1"), { wanted: true, state: "exited" });
    open("developer", [exited], makeApp("shop", { release: null }));
    expect(await screen.findByText("No instance runs")).toBeInTheDocument();
  });
  it("cuts what is pasted into frames that the server takes", () => {
    const all = frames("é".repeat(40_000));
    expect(all.map((frame) => frame.length)).toEqual([32_769, 32_769, 14_465]);
    expect(all.every((frame) => frame[0] === 0)).toBe(true);
  });
});
