import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "react-router";
import { useApply } from "@/api/mutations";
import { pendingQuery } from "@/api/queries";
import type { App, Pending } from "@/api/types";
import { Button, ButtonLink } from "@/components/button";
import { Changes } from "@/components/changes";
import { Notice } from "@/components/page";
import { Preview } from "@/components/preview";
import { useToast } from "@/components/toast";

/** Saved, but the running instances have not seen it. Silent while a deployment is under way: it may bring just that. */
export function PendingChanges({ app }: { app: App }) {
  const { data: pending } = useQuery({ ...pendingQuery(app.slug), enabled: app.release != null });
  if (!pending || pending.deployment != null || pending.changes.length === 0) return null;
  const count = pending.changes.length;
  return (
    <Notice
      tone="warn"
      title={count === 1 ? "1 pending change" : `${count} pending changes`}
      action={
        pending.applicable ? (
          <ApplyButton app={app} />
        ) : (
          <ButtonLink icon="rocket" to={`/apps/${app.slug}#deploy`}>
            Deploy
          </ButtonLink>
        )
      }
    >
      <Changes changes={pending.changes} />
      <p className="muted">{outcome(pending)}</p>
      {pending.preview && <Preview preview={pending.preview} />}
    </Notice>
  );
}

function outcome({ release, applicable, impact }: Pending): string {
  if (!applicable) return "This takes a new image: deploy the source again.";
  const start = `Applying starts new containers of v${release}’s image; nothing is built, and the running ones serve until the new ones answer.`;
  return impact === "build" ? `${start} The rest waits for the next build.` : start;
}

function ApplyButton({ app }: { app: App }) {
  const apply = useApply(app.slug);
  const navigate = useNavigate();
  const toast = useToast();
  const start = () =>
    apply.mutate(undefined, {
      onSuccess: (deployment) => navigate(`/apps/${app.slug}/deployments/${deployment.id}`),
      onError: (error) => toast.failed("The changes were not applied", error),
    });
  return (
    <Button kind="primary" icon="rocket" busy={apply.isPending} onClick={start}>
      Apply
    </Button>
  );
}
