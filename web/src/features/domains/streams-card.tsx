import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { streamsQuery } from "@/api/streams";
import type { App, Stream } from "@/api/types";
import { Button } from "@/components/button";
import { Code, Copy } from "@/components/copy";
import { Card, ErrorNotice, Notice } from "@/components/page";
import { cli } from "@/lib/cli";
import { sentence } from "@/lib/text";
import { duration } from "@/lib/time";
import { AddDialog, RemoveDialog } from "./streams-dialogs";

interface Props {
  app: App;
  mayChange: boolean;
}

/** Ports of the proxies that lead to the app past HTTP. */
export function StreamsCard({ app, mayChange }: Props) {
  const streams = useQuery(streamsQuery(app.slug));
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<Stream>();
  const items = streams.data?.items ?? [];
  return (
    <Card
      title="TCP and UDP ports"
      text="For what does not speak HTTP, such as databases, game servers and MQTT: a port of the proxies leads to the app's own port."
      actions={
        mayChange && (
          <Button small icon="plus" onClick={() => setAdding(true)}>
            Publish a port
          </Button>
        )
      }
    >
      <div className="stack">
        {streams.isError && <ErrorNotice error={streams.error} />}
        {streams.data && items.length === 0 && (
          <>
            <p className="small faint">The app is reached over HTTP alone.</p>
            {mayChange && <Code prompt text={cli.addStream(app.slug)} />}
          </>
        )}
        {items.length > 0 && (
          <ul className="plain stack">
            {items.map((stream) => (
              <li key={`${stream.protocol}/${stream.port}`} className="stack tight">
                <div className="row between wrap">
                  <Address stream={stream} />
                  {mayChange && (
                    <Button
                      small
                      kind="danger-quiet"
                      onClick={() => setRemoving(stream)}
                      aria-label={`Close port ${named(stream)}`}
                    >
                      Close
                    </Button>
                  )}
                </div>
                <p className="small faint">{about(stream)}</p>
                <Troubles stream={stream} />
              </li>
            ))}
          </ul>
        )}
      </div>
      {adding && <AddDialog app={app} ports={streams.data?.ports ?? ""} onClose={() => setAdding(false)} />}
      {removing && <RemoveDialog app={app.slug} stream={removing} onClose={() => setRemoving(undefined)} />}
    </Card>
  );
}

const named = ({ protocol, port }: Stream) => `${port}/${protocol}`;

function Address({ stream }: { stream: Stream }) {
  const { address, protocol, port } = stream;
  return (
    <span className="hostname">
      <code className="break">{address ?? `port ${port} of a proxy`}</code>
      {address && <Copy text={address} label={`Copy address of ${named(stream)}`} />}
      <span className="small faint">{protocol.toUpperCase()}</span>
    </span>
  );
}

function about({ tls, proxy_protocol, allow, max_connections, idle_timeout_s }: Stream): string {
  const words = [
    tls && `TLS as ${tls}`,
    proxy_protocol && "PROXY protocol to the app",
    allow.length > 0 ? `only from ${allow.join(", ")}` : "open to everybody",
    `at most ${max_connections} connections on each proxy`,
    `closed after ${duration(idle_timeout_s * 1000)} without a byte`,
  ];
  return words.filter(Boolean).join(" · ");
}

function Troubles({ stream: { warning, problems } }: { stream: Stream }) {
  return (
    <>
      {warning && (
        <Notice tone="warn" title="It does not work as a whole">
          <p className="break">{sentence(warning)}.</p>
        </Notice>
      )}
      {problems.map(({ node, problem }) => (
        <Notice key={node} tone="bad" title={`${node} does not listen there`}>
          <p className="break">{sentence(problem)}.</p>
        </Notice>
      ))}
    </>
  );
}
