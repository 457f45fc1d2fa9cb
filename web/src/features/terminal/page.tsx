import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useOutletContext, useSearchParams } from "react-router";
import { instancesQuery, mayRunPrograms, sessionQuery } from "@/api/queries";
import type { App, Instance } from "@/api/types";
import { Button } from "@/components/button";
import { CopyButton } from "@/components/copy";
import { Empty, ErrorNotice } from "@/components/page";
import { Badge } from "@/components/status";
import { cli } from "@/lib/cli";
import type { StatusView } from "@/lib/status";
import { type Connection, connect, type End } from "./connection";
import { openScreen, type Screen } from "./screen";

type State = "idle" | "connecting" | "open" | "ended";

const views: Record<State, StatusView> = {
  idle: { tone: "idle", label: "Not connected" },
  connecting: { tone: "busy", label: "Connecting" },
  open: { tone: "ok", label: "Connected" },
  ended: { tone: "idle", label: "Ended" },
};

const shells = ["sh", "bash"];

/** In place of an instance: a container that is there for the terminal alone. */
const FRESH = "fresh";

export function Component() {
  const app = useOutletContext<App>();
  const session = useQuery(sessionQuery);
  const instances = useQuery(instancesQuery(app.slug));
  if (session.data && !mayRunPrograms(session.data)) {
    return (
      <Empty
        icon="box"
        title="Your role has no terminal"
        text="Who runs programs in an app sees its secrets: this needs the role developer. Ask an owner of the organization."
      />
    );
  }
  const running = instances.data?.filter(runs);
  if (running?.length === 0 && !app.release) {
    return (
      <Empty
        icon="box"
        title="No instance runs"
        text="A terminal opens in an instance that runs, or in a container of the live release. Deploy the app first."
      />
    );
  }
  if (!session.data || !running) return null;
  return <TerminalCard app={app} running={running} />;
}

function runs({ wanted, state }: Instance) {
  return wanted && (state === "healthy" || state === "unhealthy" || state === "starting");
}

function TerminalCard({ app, running }: { app: App; running: Instance[] }) {
  const [query, setQuery] = useSearchParams();
  const instance = query.get("instance") ?? (running.length ? "" : FRESH);
  const [shell, setShell] = useState("sh");
  const { host, state, end, where, open, close } = useTerminal(app.slug);
  const active = state === "connecting" || state === "open";
  return (
    <section className="log terminal" aria-label={`Terminal of ${app.slug}`}>
      <div className="log-bar">
        <Badge view={views[state]} />
        <select
          className="select compact"
          aria-label="Where"
          value={instance}
          disabled={active}
          onChange={({ target }) =>
            setQuery(target.value ? { instance: target.value } : {}, { replace: true })
          }
        >
          {running.length > 0 && <option value="">Any instance</option>}
          {running.map(({ id, node }) => (
            <option key={id} value={id}>
              {node.name} · {id.slice(-4)}
            </option>
          ))}
          {app.release && <option value={FRESH}>A fresh container</option>}
        </select>
        <select
          className="select compact"
          aria-label="Shell"
          value={shell}
          disabled={active}
          onChange={({ target }) => setShell(target.value)}
        >
          {shells.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
        {active ? (
          <Button small onClick={close}>
            Disconnect
          </Button>
        ) : (
          <Button small kind="primary" onClick={() => open(shell, instance || undefined)}>
            {state === "ended" ? "Connect again" : "Connect"}
          </Button>
        )}
        <span className="spacer" />
        <span className="log-count" role="status">
          {state === "open" && where && `${where.node}, release v${where.release}`}
          {state === "ended" && end?.type === "exit" && `The shell ended with exit code ${end.code}`}
        </span>
        <span className="hide-small">
          <CopyButton text={instance === FRESH ? cli.run(app.slug) : cli.exec(app.slug)}>CLI</CopyButton>
        </span>
      </div>
      {end?.type === "failed" && <ErrorNotice error={end.error} />}
      <div className="terminal-screen" ref={host} />
    </section>
  );
}

/** One terminal at a time; leaving the page hangs up. */
function useTerminal(app: string) {
  const host = useRef<HTMLDivElement>(null);
  const current = useRef<{ screen: Screen; connection: Connection }>(undefined);
  const [state, setState] = useState<State>("idle");
  const [end, setEnd] = useState<End>();
  const [where, setWhere] = useState<{ node: string; release: number }>();

  function drop() {
    current.current?.connection.close();
    current.current?.screen.dispose();
    current.current = undefined;
  }
  // biome-ignore lint/correctness/useExhaustiveDependencies: at the end of the page only; drop works on a ref
  useEffect(() => drop, []);

  function open(shell: string, instance: string | undefined) {
    if (!host.current) return;
    drop();
    setState("connecting");
    setEnd(undefined);
    const screen = openScreen(host.current, {
      typed: (text) => current.current?.connection.type(text),
      resized: (size) => current.current?.connection.resize(size),
    });
    const fresh = instance === FRESH;
    const request = {
      command: [shell],
      instance: fresh ? null : (instance ?? null),
      fresh,
      terminal: screen.size(),
    };
    const connection = connect(app, request, {
      opened(session) {
        setWhere(session);
        setState("open");
        screen.focus();
      },
      output: screen.write,
      ended(how) {
        setEnd(how);
        setState("ended");
      },
    });
    current.current = { screen, connection };
  }
  function close() {
    current.current?.connection.close();
    setState("ended");
  }
  return { host, state, end, where, open, close };
}
