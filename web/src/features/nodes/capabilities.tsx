import type { Capability, Node } from "@/api/types";
import { Card } from "@/components/page";
import { Badge } from "@/components/status";
import { Words } from "@/components/words";
import { EnforcedLimits } from "./enforced";

const tone = { good: "idle", limited: "warn", missing: "bad" } as const;

export function AbilitiesCard({ node }: { node: Node }) {
  if (node.capabilities.length === 0 && !node.host?.enforced) return null;
  return (
    <Card title="Abilities" text="What the host has for apps, and which limits of instances hold on it.">
      <div className="stack">
        <Abilities node={node} />
      </div>
    </Card>
  );
}

/** What the host can do, and which limits hold on it. */
export function Abilities({ node }: { node: Node }) {
  return (
    <>
      <CapabilityChips all={node.capabilities} />
      <CapabilityHints all={node.capabilities} />
      {node.host?.enforced && <EnforcedLimits enforced={node.host.enforced} />}
    </>
  );
}

/** As chips; what it lacks stands out. */
function CapabilityChips({ all }: { all: Capability[] }) {
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
function CapabilityHints({ all }: { all: Capability[] }) {
  const off = all.filter((one) => one.problem);
  if (off.length === 0) return null;
  return (
    <ul className="plain small">
      {off.map((one) => (
        <li key={one.name}>
          <b>{one.label}</b>: <Words text={`${one.problem}.`} />{" "}
          {one.hint && (
            <span className="muted">
              <Words text={`${one.hint}.`} />
            </span>
          )}
        </li>
      ))}
    </ul>
  );
}
