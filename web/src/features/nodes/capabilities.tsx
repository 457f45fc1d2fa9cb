import type { Capability } from "@/api/types";
import { Badge } from "@/components/status";

const tone = { good: "idle", limited: "warn", missing: "bad" } as const;

/** What the host can do, as chips; what it lacks stands out. */
export function CapabilityChips({ all }: { all: Capability[] }) {
  return (
    <span className="roles">
      {all.map((one) => (
        <span key={`${one.name} ${one.label}`} title={one.problem ?? undefined}>
          <Badge view={{ tone: tone[one.state], label: one.label }} />
        </span>
      ))}
    </span>
  );
}

/** For each thing that the host lacks: why that matters and what to do. */
export function CapabilityHints({ all }: { all: Capability[] }) {
  const off = all.filter((one) => one.problem);
  if (off.length === 0) return null;
  return (
    <ul className="plain">
      {off.map((one) => (
        <li key={one.name} className="small">
          <b>{one.label}</b>: {one.problem}. <span className="muted">{one.hint}.</span>
        </li>
      ))}
    </ul>
  );
}

/** Rows of a list of facts. */
export function CapabilityFacts({ all }: { all: Capability[] }) {
  if (all.length === 0) return null;
  return (
    <>
      <dt>Can</dt>
      <dd>
        <CapabilityChips all={all} />
        <CapabilityHints all={all} />
      </dd>
    </>
  );
}
