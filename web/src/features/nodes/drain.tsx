import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Drain, type DrainLeft, drainPreviewQuery, useDrain } from "@/api/placement";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { ErrorNotice, Notice, Skeleton } from "@/components/page";
import { Time } from "@/components/time";
import { useToast } from "@/components/toast";
import { MoveTable } from "./moves";

/** Asks before a node is emptied, with what would go where. */
export function DrainButton({ name }: { name: string }) {
  const [open, setOpen] = useState(false);
  const drain = useDrain(name);
  const toast = useToast();
  const confirm = () =>
    drain.mutate(undefined, {
      onSuccess: () => {
        setOpen(false);
        toast.done(`${name} is emptied; uncordon it to stop that`);
      },
    });
  return (
    <>
      <Button small onClick={() => setOpen(true)}>
        Drain
      </Button>
      {open && (
        <Confirm
          title={`Drain ${name}?`}
          verb="Drain"
          command={`wh node drain ${name}`}
          change={drain}
          onConfirm={confirm}
          onClose={() => setOpen(false)}
        >
          <p className="muted">
            It takes nothing new, and its instances go to other nodes, a few at a time. Each ends only once
            another serves in its place: no request fails.
          </p>
          <Preview name={name} />
        </Confirm>
      )}
    </>
  );
}

function Preview({ name }: { name: string }) {
  const { data: moves, error, refetch } = useQuery(drainPreviewQuery(name));
  if (error) return <ErrorNotice error={error} retry={refetch} />;
  if (!moves) return <Skeleton width={240} />;
  if (moves.length === 0) return <p>Nothing runs on it.</p>;
  const stuck = moves.filter((move) => move.to == null).length;
  return (
    <>
      {stuck > 0 && (
        <Notice tone="warn" title={`${stuck} of ${moves.length} cannot move now`}>
          They stay where they serve, and go as soon as a node takes them.
        </Notice>
      )}
      <MoveTable moves={moves} />
    </>
  );
}

const stages: Record<DrainLeft["stage"], string> = {
  waiting: "waits for its turn",
  moving: "another starts in its place",
  ending: "ends its requests",
  deploying: "waits for its deployment",
  command: "a command that is waited for",
  failed: "could not be moved",
};

export function DrainProgress({ name, drain }: { name: string; drain: Drain }) {
  if (drain.finished_at)
    return (
      <Notice tone="ok" title="Empty">
        Since <Time at={drain.finished_at} />. It takes apps again once it is uncordoned.
      </Notice>
    );
  const here = drain.left.length + drain.others;
  const total = Math.max(drain.instances, here);
  const gone = total - here;
  return (
    <Notice tone="busy" title={`Drained: ${gone} of ${total} are elsewhere`}>
      <div
        className="progress"
        role="progressbar"
        aria-label={`Drain of ${name}`}
        aria-valuemin={0}
        aria-valuemax={total}
        aria-valuenow={gone}
      >
        <div style={{ width: `${total === 0 ? 100 : (gone / total) * 100}%` }} />
      </div>
      <ul className="plain">
        {drain.left.map((left) => (
          <li key={left.instance}>
            <b>{left.app}</b> {stages[left.stage]}
            {left.deployment != null && left.stage === "moving" && ` (deployment ${left.deployment})`}
            {left.next_try_at && (
              <>
                , tried again <Time at={left.next_try_at} />
              </>
            )}
            {left.problem && <span className="sub">{left.problem}</span>}
          </li>
        ))}
        {drain.others > 0 && <li className="muted">{drain.others} of other organizations</li>}
      </ul>
    </Notice>
  );
}
