export type StreamState = "connecting" | "open" | "reconnecting" | "closed";

export interface StreamOptions {
  /** Built again for each connection that we open ourselves, so that it can carry on where it stopped. */
  url: () => string;
  events: Record<string, (data: string, id: string) => void>;
  onState?: (state: StreamState) => void;
}

const FIRST_DELAY_MS = 1_000;
const LAST_DELAY_MS = 15_000;

/**
 * Follows server-sent events until closed. The browser reconnects by itself (with `Last-Event-ID`) when a
 * connection breaks, but gives up when a reconnect is answered with an error; then this opens a new one, with back-off.
 */
export function follow({ url, events, onState }: StreamOptions): () => void {
  let source: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let delay = FIRST_DELAY_MS;
  let closed = false;

  const open = () => {
    const current = new EventSource(url(), { withCredentials: false });
    source = current;
    current.onopen = () => {
      delay = FIRST_DELAY_MS;
      onState?.("open");
    };
    current.onerror = () => {
      if (closed) return;
      onState?.("reconnecting");
      if (current.readyState !== EventSource.CLOSED) return;
      timer = setTimeout(open, delay * (0.75 + Math.random() / 2));
      delay = Math.min(delay * 2, LAST_DELAY_MS);
    };
    for (const [name, handle] of Object.entries(events)) {
      current.addEventListener(name, (event) => {
        if (!closed && event instanceof MessageEvent) handle(String(event.data), event.lastEventId);
      });
    }
  };

  onState?.("connecting");
  open();
  return () => {
    closed = true;
    clearTimeout(timer);
    source?.close();
    onState?.("closed");
  };
}
