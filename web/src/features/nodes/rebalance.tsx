import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { isOpen, type Move, movesQuery, rebalanceQuery, useCancelMove, useRebalance } from "@/api/placement";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Card, ErrorNotice, Skeleton } from "@/components/page";
import { Status } from "@/components/status";
import { useToast } from "@/components/toast";
import type { StatusView } from "@/lib/status";
import { MoveTable } from "./moves";

/** What moves now, and a way to let more of it move. */
export function Rebalance() {
  const { data: moves } = useQuery(movesQuery);
  const [open, setOpen] = useState(false);
  const shown = moves?.items.filter((move) => isOpen(move) || move.cause === "rebalance") ?? [];
  return (
    <Card
      title="Balance"
      text="Instances that are better off on other nodes. Nothing moves by itself."
      actions={
        <Button small onClick={() => setOpen(true)}>
          Rebalance…
        </Button>
      }
      flush
    >
      {shown.length > 0 && <MoveList moves={shown} />}
      {moves && moves.others > 0 && (
        <p className="card-body small muted">
          {moves.others === 1 ? "1 instance" : `${moves.others} instances`} of other organizations
        </p>
      )}
      {open && <RebalanceDialog onClose={() => setOpen(false)} />}
    </Card>
  );
}

const states: Record<Move["state"], StatusView> = {
  waiting: { tone: "busy", label: "Waiting" },
  moving: { tone: "busy", label: "Moving" },
  done: { tone: "ok", label: "Moved" },
  failed: { tone: "bad", label: "Not moved" },
  cancelled: { tone: "idle", label: "Cancelled" },
};

function MoveList({ moves }: { moves: Move[] }) {
  return (
    <div className="table-wrap">
      <table className="table">
        <tbody>
          {moves.map((move) => (
            <tr key={move.id}>
              <td>{move.app}</td>
              <td className="nowrap">
                {move.from} → {move.to ?? "…"}
              </td>
              <td>
                <Status view={states[move.state]} />
                {move.problem && <span className="sub">{move.problem}</span>}
              </td>
              <td className="hide-small small muted">{move.reason}</td>
              <td className="end">
                {move.state === "waiting" && move.cause === "rebalance" && <CancelMove move={move} />}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function CancelMove({ move }: { move: Move }) {
  const cancel = useCancelMove();
  const toast = useToast();
  const take = () =>
    cancel.mutate(move.id, {
      onSuccess: () => toast.done(`${move.app} stays on ${move.from}`),
      onError: (error) => toast.failed(`The move of ${move.app} was not taken back`, error),
    });
  return (
    <Button small kind="ghost" busy={cancel.isPending} onClick={take}>
      Cancel
    </Button>
  );
}

function RebalanceDialog({ onClose }: { onClose: () => void }) {
  const { data: moves, error, refetch } = useQuery(rebalanceQuery);
  const rebalance = useRebalance();
  const toast = useToast();
  const confirm = () =>
    rebalance.mutate(moves ?? [], {
      onSuccess: () => {
        onClose();
        toast.done("They move, a few at a time");
      },
    });
  return (
    <Confirm
      title="Rebalance the nodes?"
      verb={moves?.length ? `Move ${moves.length}` : "Move"}
      command="wh rebalance --apply"
      change={rebalance}
      disabled={!moves?.length}
      onConfirm={confirm}
      onClose={onClose}
    >
      {error && <ErrorNotice error={error} retry={refetch} />}
      {!error && !moves && <Skeleton width={240} />}
      {moves?.length === 0 && <p>Every instance is where it is best off.</p>}
      {moves && moves.length > 0 && (
        <>
          <p className="muted">Each ends only once another serves in its place: no request fails.</p>
          <MoveTable moves={moves} />
        </>
      )}
    </Confirm>
  );
}
