import { useCancel } from "@/api/mutations";
import { Button } from "./button";
import { Dialog } from "./dialog";
import { ErrorNotice } from "./page";

interface Props {
  deployment: { id: string; number: number };
  onClose: () => void;
}

/** Asks before it cancels a deployment. */
export function CancelDialog({ deployment, onClose }: Props) {
  const cancel = useCancel();
  return (
    <Dialog
      title={`Cancel deployment #${deployment.number}?`}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Let it run</Button>
          <Button
            kind="danger"
            busy={cancel.isPending}
            onClick={() => cancel.mutate(deployment.id, { onSuccess: onClose })}
          >
            Cancel deployment
          </Button>
        </>
      }
    >
      <p className="muted">What runs now goes on serving. The log of this attempt is kept.</p>
      {cancel.isError && <ErrorNotice error={cancel.error} />}
    </Dialog>
  );
}
