import { useNavigate } from "react-router";
import { useUpdateEnv } from "@/api/mutations";
import type { App } from "@/api/types";
import { Button } from "@/components/button";
import { StatusMark } from "@/components/status";
import { useToast } from "@/components/toast";

/** Saved, but the running instances have not seen it. */
export function PendingBar({ app }: { app: App }) {
  const update = useUpdateEnv(app.slug);
  const navigate = useNavigate();
  const toast = useToast();
  const deploy = () =>
    update.mutate(
      { set: {}, unset: [], deploy: true },
      {
        onSuccess: ({ deployment }) =>
          deployment && navigate(`/apps/${app.slug}/deployments/${deployment.id}`),
        onError: (error) => toast.failed("The deployment did not start", error),
      },
    );
  return (
    <div className="pending-bar" role="status">
      <StatusMark tone="warn" />
      <span className="grow">
        Changes wait for the next deployment. Running instances still have the old values.
      </span>
      <Button kind="primary" icon="rocket" busy={update.isPending} onClick={deploy}>
        Deploy now
      </Button>
    </div>
  );
}
