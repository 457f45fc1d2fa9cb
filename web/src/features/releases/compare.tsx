import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { comparisonQuery } from "@/api/queries";
import type { App, Release } from "@/api/types";
import { Button } from "@/components/button";
import { Changes } from "@/components/changes";
import { CopyButton } from "@/components/copy";
import { Dialog } from "@/components/dialog";
import { Field } from "@/components/field";
import { ErrorNotice, Skeleton } from "@/components/page";
import { cli } from "@/lib/cli";

/** What would change if `after` served in place of `before`. */
export function Comparison({ app, before, after }: { app: App; before: number; after: number }) {
  const query = useQuery(comparisonQuery(app.slug, before, after));
  if (query.isError) return <ErrorNotice error={query.error} retry={query.refetch} />;
  if (!query.data) return <Skeleton width={260} />;
  if (query.data.changes.length === 0) {
    return <p className="muted">They have the same image, settings and variables.</p>;
  }
  return <Changes changes={query.data.changes} />;
}

interface Props {
  app: App;
  /** Numbers to choose from, newest first. */
  releases: Release[];
  first: Release;
  onClose: () => void;
}

/** From any release to any other; begins with what changed from `first` to the one that serves. */
export function CompareDialog({ app, releases, first, onClose }: Props) {
  const { number } = first;
  const others = releases.filter((release) => release.number !== number);
  const other = others.find((release) => release.current) ?? others[0] ?? first;
  const [before, setBefore] = useState(Math.min(number, other.number));
  const [after, setAfter] = useState(Math.max(number, other.number));
  return (
    <Dialog
      title="Compare releases"
      onClose={onClose}
      footer={
        <>
          <CopyButton text={cli.compare(app.slug, before, after)}>Copy as CLI</CopyButton>
          <Button onClick={onClose}>Close</Button>
        </>
      }
    >
      <div className="fields" style={{ gridTemplateColumns: "1fr 1fr" }}>
        <Choice label="From" value={before} releases={releases} onChange={setBefore} />
        <Choice label="To" value={after} releases={releases} onChange={setAfter} />
      </div>
      <Comparison app={app} before={before} after={after} />
      <p className="small faint">Values of variables are compared and not shown.</p>
    </Dialog>
  );
}

interface ChoiceProps {
  label: string;
  value: number;
  releases: Release[];
  onChange: (number: number) => void;
}

function Choice({ label, value, releases, onChange }: ChoiceProps) {
  return (
    <Field label={label}>
      {(control) => (
        <select
          className="select"
          value={value}
          onChange={(event) => onChange(Number(event.target.value))}
          {...control}
        >
          {releases.map((release) => (
            <option key={release.id} value={release.number}>
              v{release.number}
              {release.current && " (live)"}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
