import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { useDeleteApp, useUndelete } from "@/api/mutations";
import { tombstonesQuery } from "@/api/queries";
import type { App, Tombstone } from "@/api/types";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Card, Notice } from "@/components/page";
import { Time } from "@/components/time";
import { useToast } from "@/components/toast";
import { cli } from "@/lib/cli";

/** Takes an address away from its visitors, so the name is typed. */
export function DeleteApp({ app }: { app: App }) {
  const [open, setOpen] = useState(false);
  const remove = useDeleteApp(app.slug);
  const navigate = useNavigate();
  const confirm = () => remove.mutate(undefined, { onSuccess: () => navigate("/apps") });
  return (
    <Card title="Delete app">
      <div className="stack">
        <p className="small muted">
          Its instances stop and its address is gone at once. All else is kept for 7 days, in which it can be
          brought back.
        </p>
        <div>
          <Button kind="danger-quiet" small icon="trash" onClick={() => setOpen(true)}>
            Delete {app.slug}
          </Button>
        </div>
      </div>
      {open && (
        <Confirm
          title={`Delete ${app.slug}?`}
          verb="Delete"
          keep="Keep"
          danger
          typed={app.slug}
          command={cli.deleteApp(app.slug)}
          change={remove}
          onConfirm={confirm}
          onClose={() => setOpen(false)}
        >
          <p className="muted">
            <b>{app.hostname}</b> stops answering. For 7 days the app can be brought back with its releases,
            variables and logs; then they are removed for good.
          </p>
        </Confirm>
      )}
    </Card>
  );
}

/** The deleted apps that can still come back. */
export function Tombstones() {
  const tombstones = useQuery(tombstonesQuery);
  return tombstones.data?.map((tombstone) => <Undo key={tombstone.id} tombstone={tombstone} />);
}

/** What an app has beside its containers, in words. */
export function kept({ containers: _, git_access, ...counts }: Tombstone["pieces"]): string {
  const counted = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => (count === 1 ? `1 ${kind.replace(/s$/, "")}` : `${count} ${kind}`));
  return [...counted, ...(git_access > 0 ? ["access to its repository"] : [])].join(", ") || "its name";
}

function Undo({ tombstone }: { tombstone: Tombstone }) {
  const undelete = useUndelete();
  const navigate = useNavigate();
  const toast = useToast();
  const undo = () =>
    undelete.mutate(tombstone.slug, {
      onSuccess: () => navigate(`/apps/${tombstone.slug}`),
      onError: (error) => toast.failed(`${tombstone.slug} did not come back`, error),
    });
  return (
    <Notice
      tone="idle"
      title={`${tombstone.slug} was deleted`}
      action={
        <Button small icon="rollback" busy={undelete.isPending} onClick={undo}>
          Undo
        </Button>
      }
    >
      By {tombstone.deleted_by}, <Time at={tombstone.deleted_at} />. Kept until it is gone for good{" "}
      <Time at={tombstone.gone_at} />: {kept(tombstone.pieces)}.
    </Notice>
  );
}
