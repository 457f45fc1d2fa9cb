import { useQuery } from "@tanstack/react-query";
import { type ChangeEvent, useEffect, useMemo, useState } from "react";
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
/** Older ones have no lines any more, most of the time. */
const SHOWN_RELEASES = 20;

export function Component() {
  const app = useOutletContext<App>();
  const [filter, setFilter] = useSearchParams();
  const instance = filter.get("instance") ?? "";
  const release = filter.get("release") ?? "";
  const { lines, stream } = useAppLog(app.slug, instance, release);
  const instances = useQuery(instancesQuery(app.slug));
  const newest = app.release?.number ?? 0;
  const choose = (name: string) => (event: ChangeEvent<HTMLSelectElement>) => {
    const next = new URLSearchParams(filter);
    if (event.target.value) next.set(name, event.target.value);
    else next.delete(name);
    setFilter(next, { replace: true });
  };
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
            onChange={choose("instance")}
          >
            <option value="">Every instance</option>
            {instances.data?.map(({ id, node }) => (
              <option key={id} value={id}>
                {node.name} · {id.slice(-4)}
              </option>
            ))}
          </select>
          <select
            className="select"
            style={{ width: 130, height: 28, fontSize: 13 }}
            aria-label="Release"
            value={release}
            onChange={choose("release")}
          >
            <option value="">Every release</option>
            {Array.from({ length: Math.min(newest, SHOWN_RELEASES) }, (_, back) => newest - back).map(
              (number) => (
                <option key={number} value={number}>
                  v{number}
                </option>
              ),
            )}
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
function useAppLog(app: string, instance: string, release: string) {
  const [stream, setStream] = useState<StreamState>("connecting");
  const { lines, last, add, clear } = useLineBuffer<AppLogLine>((line, before) => line.id !== before.id);

  // biome-ignore lint/correctness/useExhaustiveDependencies: one stream per app, instance and release; add and clear work on refs
  useEffect(() => {
    clear();
    return follow({
      url() {
        const query = new URLSearchParams(
          last.current ? { after: last.current.id } : { tail: String(FIRST_LINES) },
        );
        if (instance) query.set("instance", instance);
        if (release) query.set("release", release);
        return `/api/v1/apps/${encodeURIComponent(app)}/logs?${query}`;
      },
      events: { line: (data) => add(JSON.parse(data) as AppLogLine) },
      onState: setStream,
    });
  }, [app, instance, release]);

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
