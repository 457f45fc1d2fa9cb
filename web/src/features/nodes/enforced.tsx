import type { Enforced } from "@/api/types";
import { Badge } from "@/components/status";
import { Words } from "@/components/words";

const names: [keyof Enforced, string][] = [
  ["user_namespaces", "User namespaces"],
  ["memory", "Memory"],
  ["swap", "Swap"],
  ["cpu", "Processor"],
  ["pids", "Processes"],
  ["bandwidth", "Bandwidth"],
  ["disk", "Disk"],
];

/** Which limits of instances hold on the node, and why others do not. */
export function EnforcedLimits({ enforced }: { enforced: Enforced }) {
  const missing = names.filter(([name]) => enforced[name].by == null);
  return (
    <>
      <span className="roles">
        {names.map(([name, label]) => {
          const { by, why_not } = enforced[name];
          const without = name === "user_namespaces" ? "No user namespaces" : `${label} not limited`;
          const view =
            by == null ? ({ tone: "warn", label: without } as const) : ({ tone: "ok", label } as const);
          return (
            <span key={name} title={by ?? why_not ?? undefined}>
              <Badge view={view} />
            </span>
          );
        })}
      </span>
      {missing.length > 0 && (
        <ul className="plain small">
          {missing.map(([name, label]) => (
            <li key={name}>
              <b>{label}</b>:{" "}
              <span className="muted">
                <Words text={`${enforced[name].why_not}.`} />
              </span>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
