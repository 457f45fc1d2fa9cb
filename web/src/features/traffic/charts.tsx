import { useMemo, useState } from "react";
import type { Traffic, TrafficPoint, TrafficSum } from "@/api/traffic";
import { Chart, type Series } from "@/components/chart";
import { Card } from "@/components/page";
import { Time } from "@/components/time";
import { bytes } from "@/lib/bytes";
import { type Slots, slotsOf, stacks, stepLine, stepName, topOf } from "@/lib/chart";
import { count } from "@/lib/number";
import { took, tookOr } from "@/lib/time";
import { CLASSES, requestsOf } from "./series";

export function Charts({ traffic }: { traffic: Traffic }) {
  const slots = useMemo(() => slotsOf(traffic), [traffic]);
  const [at, setAt] = useState<number>();
  // A range that was changed meanwhile may have fewer steps.
  const cursor = at !== undefined && at < slots.starts.length ? at : undefined;
  const props = { traffic, slots, cursor, onCursor: setAt };
  return (
    <Card footer={<Sources traffic={traffic} />}>
      <div className="charts">
        <RequestsChart {...props} />
        <LatencyChart {...props} />
        <BytesChart {...props} />
      </div>
    </Card>
  );
}

interface Props {
  traffic: Traffic;
  slots: Slots<TrafficPoint>;
  cursor: number | undefined;
  onCursor: (slot: number | undefined) => void;
}

function RequestsChart({ traffic, slots, ...rest }: Props) {
  const { total } = traffic;
  const classes = CLASSES.filter((name) => name !== "1xx" || total.requests[name] > 0);
  const top = topOf(Math.max(2, ...slots.points.map((point) => (point ? requestsOf(point) : 0))));
  const values = classes.map((name) => slots.points.map((point) => point?.requests[name] ?? 0));
  const paths = stacks(values, top);
  const series = classes.map(
    (name, index): Series => ({
      name,
      look: `status-${name}`,
      path: paths[index] ?? "",
      whole: count(total.requests[name]),
      at: (slot) => count(values[index]?.[slot] ?? 0),
    }),
  );
  return (
    <Chart
      {...rest}
      title={`Requests per ${stepName(slots.stepMs)}`}
      slots={slots}
      kind="bars"
      series={series}
      scale={[count(top), count(top / 2), "0"]}
    />
  );
}

const PERCENTILES = ["p50", "p95", "p99"] as const;

function LatencyChart({ traffic, slots, ...rest }: Props) {
  const ofPoint = (sum: TrafficSum | undefined, name: (typeof PERCENTILES)[number]) => sum?.[`${name}_ms`];
  const values = PERCENTILES.map((name) => slots.points.map((point) => ofPoint(point, name)));
  const top = topOf(Math.max(...values.flat().map((value) => value ?? 0)));
  const series = PERCENTILES.map(
    (name, index): Series => ({
      name,
      look: name,
      path: stepLine(values[index] ?? [], top),
      whole: tookOr(ofPoint(traffic.total, name)),
      at: (slot) => tookOr(values[index]?.[slot]),
    }),
  );
  return (
    <Chart
      {...rest}
      title="Response time"
      slots={slots}
      kind="lines"
      series={series}
      scale={[took(top), took(top / 2), "0"]}
    />
  );
}

function BytesChart({ traffic, slots, ...rest }: Props) {
  const received = slots.points.map((point) => point?.received_bytes ?? 0);
  const sent = slots.points.map((point) => point?.sent_bytes ?? 0);
  const top = topOf(Math.max(...received.map((value, slot) => value + (sent[slot] ?? 0))), "bytes");
  const [ofReceived = "", ofSent = ""] = stacks([received, sent], top);
  const { received_bytes, sent_bytes } = traffic.total;
  return (
    <Chart
      {...rest}
      title={`Bytes per ${stepName(slots.stepMs)}`}
      slots={slots}
      kind="bars"
      series={[
        {
          name: "received",
          look: "received",
          path: ofReceived,
          whole: bytes(received_bytes),
          at: (slot) => bytes(received[slot] ?? 0),
        },
        {
          name: "sent",
          look: "sent",
          path: ofSent,
          whole: bytes(sent_bytes),
          at: (slot) => bytes(sent[slot] ?? 0),
        },
      ]}
      scale={[bytes(top), bytes(top / 2), "0"]}
    />
  );
}

/** Who counted, and whose requests are missing. */
function Sources({ traffic }: { traffic: Traffic }) {
  return (
    <p className="small muted">
      {traffic.sources.map(({ node, agent, reported_at }, index) => (
        <span key={`${agent} ${node}`}>
          {index === 0 ? "Counted by " : ", "}
          {node} ({agent}, <Time at={reported_at} />)
        </span>
      ))}
      {traffic.sources.length > 0 && ". "}
      What a Traefik of your own serves is not in here.
    </p>
  );
}
