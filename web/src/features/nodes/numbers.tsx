import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { type NodeNow, type NodePoint, type NodeSeries, nodeNumbersQuery, type Space } from "@/api/nodes";
import { Chart, type Series } from "@/components/chart";
import { Card, ErrorNotice, Skeleton } from "@/components/page";
import { Ranges } from "@/components/ranges";
import { Time } from "@/components/time";
import { bytes } from "@/lib/bytes";
import { type Range, type Slots, slotsOf, stacks, stepLine, stepName, topOf } from "@/lib/chart";
import { share } from "@/lib/number";
import { age } from "@/lib/time";

/** How the host is doing, and did. */
export function Numbers({ name }: { name: string }) {
  const [range, setRange] = useState<Range>("1h");
  const { data: series, error, refetch } = useQuery(nodeNumbersQuery(name, range));
  return (
    <Card title="Numbers" actions={<Ranges range={range} onRange={setRange} />}>
      {error && <ErrorNotice error={error} retry={refetch} />}
      {!series && !error && <Skeleton width={240} />}
      {series && !series.now && series.points.length === 0 && (
        <p className="small muted">
          It has told nothing in this time. Its mesh agent tells every 20 seconds while it is connected.
        </p>
      )}
      {series?.now && <Now now={series.now} />}
      {series && series.points.length > 0 && <Charts series={series} />}
    </Card>
  );
}

function Now({ now }: { now: NodeNow }) {
  const rate = (value: number | null | undefined) => (value == null ? "–" : `${bytes(value)}/s`);
  return (
    <dl className="summary node-now">
      <div>
        <dt>Processors</dt>
        <dd className="num">{Math.round(now.cpu_percent)} %</dd>
        <dd className="sub num">load {now.load.toFixed(2)}</dd>
      </div>
      <Filled name="Memory" space={now.memory} sub={now.swap.total_bytes > 0 && `swap ${filled(now.swap)}`} />
      <Filled
        name="Disk"
        space={now.root}
        sub={now.containers && `of containers ${filled(now.containers)}`}
      />
      <div>
        <dt>Network</dt>
        <dd className="num nowrap">{rate(now.received_per_s)} in</dd>
        <dd className="sub num">
          {rate(now.sent_per_s)} out
          {now.uptime_s != null && `; up for ${age(now.uptime_s * 1000)}`}
          <span className="node-told">
            , <Time at={now.at} />
          </span>
        </dd>
      </div>
    </dl>
  );
}

function Filled({
  name,
  space,
  sub,
}: {
  name: string;
  space: Space;
  sub: string | false | null | undefined;
}) {
  return (
    <div>
      <dt>{name}</dt>
      <dd className="num">{filled(space)}</dd>
      <dd className="sub num">
        {bytes(space.used_bytes)} of {bytes(space.total_bytes)}
        {sub && `; ${sub}`}
      </dd>
    </div>
  );
}

const filled = (space: Space) => share(space.used_bytes, space.total_bytes);
const percent = (space: Space | null | undefined) =>
  space && space.total_bytes > 0 ? (space.used_bytes / space.total_bytes) * 100 : undefined;

function Charts({ series }: { series: NodeSeries }) {
  const slots = useMemo(() => slotsOf<NodePoint>(series), [series]);
  const [at, setAt] = useState<number>();
  // A range that was changed meanwhile may have fewer steps.
  const cursor = at !== undefined && at < slots.starts.length ? at : undefined;
  const props = { slots, cursor, onCursor: setAt };
  return (
    <div className="charts even">
      <Shares
        {...props}
        title="Processors"
        lines={[
          { name: "mean", look: "p50", of: (point) => point.cpu_percent },
          { name: "most", look: "p99", of: (point) => point.cpu_most_percent },
        ]}
      />
      <Shares
        {...props}
        title="Memory"
        lines={[
          { name: "memory", look: "p50", of: (point) => percent(point.memory) },
          { name: "swap", look: "p99", of: (point) => percent(point.swap) },
        ]}
      />
      <Shares
        {...props}
        title="Disks"
        lines={[
          { name: "root", look: "p50", of: (point) => percent(point.root) },
          { name: "containers", look: "p95", of: (point) => percent(point.containers) },
        ]}
      />
      <Network {...props} />
    </div>
  );
}

interface Props {
  slots: Slots<NodePoint>;
  cursor: number | undefined;
  onCursor: (slot: number | undefined) => void;
}

interface Line {
  name: string;
  look: string;
  of: (point: NodePoint) => number | undefined;
}

/** Lines of percents. One of which nothing is ever told, such as swap where there is none, is left out. */
function Shares({ title, lines, slots, ...rest }: Props & { title: string; lines: Line[] }) {
  const words = (value: number | undefined) => (value === undefined ? "–" : `${Math.round(value)} %`);
  const series = lines.flatMap(({ name, look, of }): Series[] => {
    const values = slots.points.map((point) => (point ? of(point) : undefined));
    const known = values.filter((value) => value !== undefined);
    if (known.length === 0) return [];
    return [
      {
        name,
        look,
        path: stepLine(values, 100),
        whole: words(Math.max(...known)),
        at: (slot) => words(values[slot]),
      },
    ];
  });
  return (
    <Chart
      {...rest}
      title={title}
      slots={slots}
      kind="lines"
      series={series}
      scale={["100 %", "50 %", "0"]}
    />
  );
}

function Network({ slots, ...rest }: Props) {
  const received = slots.points.map((point) => point?.received_bytes ?? 0);
  const sent = slots.points.map((point) => point?.sent_bytes ?? 0);
  const top = topOf(Math.max(...received.map((value, slot) => value + (sent[slot] ?? 0))), "bytes");
  const [ofReceived = "", ofSent = ""] = stacks([received, sent], top);
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  const series = (name: "received" | "sent", values: number[], path: string): Series => ({
    name,
    look: name,
    path,
    whole: bytes(sum(values)),
    at: (slot) => bytes(values[slot] ?? 0),
  });
  return (
    <Chart
      {...rest}
      title={`Network, bytes per ${stepName(slots.stepMs)}`}
      slots={slots}
      kind="bars"
      series={[series("received", received, ofReceived), series("sent", sent, ofSent)]}
      scale={[bytes(top), bytes(top / 2), "0"]}
    />
  );
}

/** Processors, memory and the fuller disk as bars, for the list. */
export function Bars({ numbers }: { numbers: NodeNow | null | undefined }) {
  if (!numbers) return <span className="faint">–</span>;
  const disks = [percent(numbers.root), percent(numbers.containers)].filter((one) => one !== undefined);
  return (
    <div className="bars">
      <Bar name="CPU" value={numbers.cpu_percent} />
      <Bar name="Memory" value={percent(numbers.memory)} />
      <Bar name="Disk" value={disks.length > 0 ? Math.max(...disks) : undefined} />
    </div>
  );
}

/** From here on it is said that little is left. */
const FULL = 90;

function Bar({ name, value }: { name: string; value: number | undefined }) {
  if (value === undefined) return null;
  const whole = Math.round(value);
  return (
    <>
      <span className="small muted" aria-hidden="true">
        {name}
      </span>
      <div className={whole >= FULL ? "meter full" : "meter"} role="img" aria-label={`${name} ${whole} %`}>
        <div style={{ width: `${Math.min(100, whole)}%` }} />
      </div>
      <span className="small num" aria-hidden="true">
        {whole} %
      </span>
    </>
  );
}
