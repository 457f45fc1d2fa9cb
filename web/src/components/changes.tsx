import type { ReleaseChange } from "@/api/types";

const marks = { added: "+", removed: "−", changed: "~" } as const;

/** What differs, one line each. Variables are named; their values are never among the changes. */
export function Changes({ changes }: { changes: ReleaseChange[] }) {
  return (
    <ul className="changes">
      {changes.map((change) => (
        <li key={change.field} className={change.kind}>
          <span className="mark" aria-hidden="true">
            {marks[change.kind]}
          </span>
          <span>
            {change.label} <Values change={change} />
            {change.impact === "build" && <span className="faint"> with the next build</span>}
          </span>
        </li>
      ))}
    </ul>
  );
}

function Values({ change: { kind, before, after } }: { change: ReleaseChange }) {
  if (before != null && after != null) {
    return (
      <>
        <code>{before}</code> → <code>{after}</code>
      </>
    );
  }
  const only = before ?? after;
  return (
    <>
      <span className="muted">{kind}</span> {only != null && <code>{only}</code>}
    </>
  );
}
