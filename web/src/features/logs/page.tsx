import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { useOutletContext, useSearchParams } from "react-router";
import { useLineBuffer } from "@/api/log";
import { instancesQuery } from "@/api/queries";
import { follow, type StreamState } from "@/api/stream";
import type { App, AppLogLine } from "@/api/types";
import { CopyButton } from "@/components/copy";
import { Log, type LogEntry } from "@/components/log";
import { Badge } from "@/components/status";
import { cli } from "@/lib/cli";
import type { StatusView } from "@/lib/status";

const FIRST_LINES = 500;

export function Component() {
  const app = useOutletContext<App>();
  const [filter, setFilter] = useSearchParams();
  const instance = filter.get("instance") ?? "";
  const { lines, stream } = useAppLog(app.slug, instance);
  const instances = useQuery(instancesQuery(app.slug));
  const entries = useMemo(() => entriesOf(lines), [lines]);
  return (
    <Log
      name={`${app.slug} log`}
      entries={entries}
      live={stream === "open"}
      empty={
        app.release
          ? "Nothing was said yet. What the app writes to its output appears here."
          : "Logs begin with the first release."
      }
      controls={
        <>
          <Badge view={streamViews[stream]} />
          <select
            className="select"
            style={{ width: 150, height: 28, fontSize: 13 }}
            aria-label="Instance"
            value={instance}
            onChange={(event) =>
              setFilter(event.target.value ? { instance: event.target.value } : {}, { replace: true })
            }
          >
            <option value="">Every instance</option>
            {instances.data?.map(({ id, node }) => (
              <option key={id} value={id}>
                {node.name} · {id.slice(-4)}
              </option>
            ))}
          </select>
          <span className="hide-small">
            <CopyButton text={cli.logs(app.slug)}>CLI</CopyButton>
          </span>
        </>
      }
    />
  );
}

const streamViews: Record<StreamState, StatusView> = {
  connecting: { tone: "busy", label: "Connecting" },
  open: { tone: "ok", label: "Live" },
  reconnecting: { tone: "warn", label: "Reconnecting" },
  closed: { tone: "idle", label: "Ended" },
};

/** The last lines of the app and all that follow. */
function useAppLog(app: string, instance: string) {
  const [stream, setStream] = useState<StreamState>("connecting");
  const { lines, last, add, clear } = useLineBuffer<AppLogLine>((line, before) => line.id !== before.id);

  // biome-ignore lint/correctness/useExhaustiveDependencies: one stream per app and instance; add and clear work on refs
  useEffect(() => {
    clear();
    return follow({
      url() {
        const query = new URLSearchParams(
          last.current ? { after: last.current.id } : { tail: String(FIRST_LINES) },
        );
        if (instance) query.set("instance", instance);
        return `/api/v1/apps/${encodeURIComponent(app)}/logs?${query}`;
      },
      events: { line: (data) => add(JSON.parse(data) as AppLogLine) },
      onState: setStream,
    });
  }, [app, instance]);

  return { lines, stream };
}

/** Instances get colours in the order in which they speak; a line says where a new release begins. */
export function entriesOf(lines: AppLogLine[]): LogEntry[] {
  const series = new Map<string, number>();
  const entries: LogEntry[] = [];
  let release: number | undefined;
  for (const line of lines) {
    if (!series.has(line.instance_id)) series.set(line.instance_id, series.size);
    if (release !== undefined && line.release > release) {
      entries.push({
        id: `release-${line.release}`,
        at: line.at,
        stream: "system",
        text: `── release v${line.release} ──`,
      });
    }
    release = Math.max(release ?? line.release, line.release);
    const label = { text: line.instance_id.slice(-4), series: series.get(line.instance_id) ?? 0 };
    entries.push({ id: line.id, at: line.at, stream: line.stream, text: line.text, label });
  }
  return entries;
}
