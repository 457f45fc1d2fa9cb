import type { Enforced } from "@/api/types";
import { Badge } from "@/components/status";

const names: [keyof Enforced, string][] = [
  ["user_namespaces", "User namespaces"],
  ["memory", "Memory"],
  ["swap", "Swap"],
  ["cpu", "Processor"],
  ["pids", "Processes"],
  ["bandwidth", "Bandwidth"],
  ["disk", "Disk"],
];

/** Rows of a list of facts: which limits of instances hold on the node, and why others do not. */
export function EnforcedFacts({ enforced }: { enforced: Enforced }) {
  const missing = names.filter(([name]) => enforced[name].by == null);
  return (
    <>
      <dt>Enforces</dt>
      <dd className="row wrap">
        {names.map(([name, label]) => {
          const { by, why_not } = enforced[name];
          return (
            <span key={name} title={by ?? why_not ?? undefined}>
              <Badge
                view={
                  by == null ? { tone: "warn", label: `No ${label.toLowerCase()}` } : { tone: "ok", label }
                }
              />
            </span>
          );
        })}
        {missing.map(([name, label]) => (
          <span className="small faint" key={name}>
            {label}: {enforced[name].why_not}
          </span>
        ))}
      </dd>
    </>
  );
}
