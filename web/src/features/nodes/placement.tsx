import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import {
  type Amount,
  type NodePlacement,
  placementQuery,
  placementsQuery,
  useCordon,
  useUpdatePlacement,
} from "@/api/placement";
import type { Node } from "@/api/types";
import { Button } from "@/components/button";
import { TextField } from "@/components/field";
import { Card, ErrorNotice, Notice } from "@/components/page";
import { Time } from "@/components/time";
import { useToast } from "@/components/toast";
import { DrainButton, DrainProgress } from "./drain";

/** What a worker has to give and what it takes. */
export function PlacementCard({ node }: { node: Node }) {
  const runsApps = node.roles.includes("worker");
  const { data, error, refetch } = useQuery({ ...placementQuery(node.name), enabled: runsApps });
  if (!runsApps) return null;
  if (error) return <ErrorNotice error={error} retry={refetch} />;
  if (!data) return null;
  return (
    <Card title="Placement" text="What new instances find here.">
      <div className="stack">
        {data.drain ? (
          <DrainProgress name={node.name} drain={data.drain} />
        ) : (
          data.cordoned_at && (
            <Notice tone="warn" title="Takes nothing new">
              Cordoned <Time at={data.cordoned_at} />. What runs here goes on.
            </Notice>
          )
        )}
        <dl className="facts">
          <dt>Instances</dt>
          <dd className="num">
            {data.instances}
            {data.max_instances != null && ` of ${data.max_instances}`}
          </dd>
          <dt>Reserved memory</dt>
          <dd className="num">{share(data, (amount) => amount.memory_mb, "MiB")}</dd>
          <dt>Reserved processors</dt>
          <dd className="num">{share(data, (amount) => amount.cpu_millis / 1000, "cores")}</dd>
        </dl>
        <Takes name={node.name} placement={data} />
        <div className="row wrap">
          <CordonButton name={node.name} cordoned={data.cordoned_at != null} />
          {!data.drain && <DrainButton name={node.name} />}
        </div>
      </div>
    </Card>
  );
}

function share(placement: NodePlacement, of: (amount: Amount) => number, unit: string) {
  const number = (value: number) => String(Math.round(value * 10) / 10);
  const whole = placement.capacity ? ` of ${number(of(placement.capacity))}` : "";
  return `${number(of(placement.reserved))}${whole} ${unit}`;
}

function CordonButton({ name, cordoned }: { name: string; cordoned: boolean }) {
  const change = useCordon(name);
  const toast = useToast();
  const click = () =>
    change.mutate(!cordoned, {
      onSuccess: () => toast.done(cordoned ? `${name} takes apps again` : `${name} takes nothing new`),
      onError: (error) => toast.failed(`${name} was not changed`, error),
    });
  return (
    <Button small busy={change.isPending} onClick={click}>
      {cordoned ? "Uncordon" : "Cordon"}
    </Button>
  );
}

/** Which work the worker takes, and how much. */
function Takes({ name, placement }: { name: string; placement: NodePlacement }) {
  const [apps, setApps] = useState(placement.takes_apps);
  const [builds, setBuilds] = useState(placement.takes_builds);
  const [most, setMost] = useState(placement.max_instances == null ? "" : String(placement.max_instances));
  const update = useUpdatePlacement(name);
  const toast = useToast();
  const wanted = most.trim() === "" ? null : Number(most);
  const wrong = wanted !== null && !(Number.isInteger(wanted) && wanted >= 1 && wanted <= 10_000);
  const changed =
    apps !== placement.takes_apps ||
    builds !== placement.takes_builds ||
    wanted !== (placement.max_instances ?? null);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (wrong || !changed) return;
    update.mutate(
      { takes_apps: apps, takes_builds: builds, max_instances: wanted },
      { onSuccess: () => toast.done(`Saved; what runs on ${name} stays`) },
    );
  };
  return (
    <form className="stack" onSubmit={submit} noValidate>
      <label className="row">
        <input type="checkbox" checked={apps} onChange={(event) => setApps(event.target.checked)} /> Takes
        apps
      </label>
      <label className="row">
        <input type="checkbox" checked={builds} onChange={(event) => setBuilds(event.target.checked)} /> Takes
        builds
      </label>
      <TextField
        label="Most instances"
        optional
        inputMode="numeric"
        help="Of all apps. Without it as many as have room."
        value={most}
        onChange={setMost}
        error={wrong ? "A whole number from 1 to 10000." : undefined}
      />
      {update.isError && <ErrorNotice error={update.error} />}
      {changed && (
        <div>
          <Button small kind="primary" type="submit" busy={update.isPending} disabled={wrong}>
            Save
          </Button>
        </div>
      )}
    </form>
  );
}

/** A word beside a node's status in the list. */
export function CordonMark({ node }: { node: Node }) {
  const { data } = useQuery(placementsQuery);
  const placement = data?.find((one) => one.id === node.id);
  if (!placement?.cordoned_at) return null;
  const drain = placement.drain;
  const word = drain
    ? drain.finished_at
      ? "empty"
      : `drained, ${drain.left.length + drain.others} to go`
    : "cordoned";
  return (
    <span className="sub nowrap" style={{ paddingLeft: 21 }}>
      {word}
    </span>
  );
}
