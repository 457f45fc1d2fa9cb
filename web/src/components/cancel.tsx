import { useCancel } from "@/api/mutations";
import { Confirm } from "./confirm";

interface Props {
  deployment: { id: string; number: number };
  onClose: () => void;
}

/** Asks before it cancels a deployment. */
export function CancelDialog({ deployment, onClose }: Props) {
  const cancel = useCancel();
  return (
    <Confirm
      title={`Cancel deployment #${deployment.number}?`}
      verb="Cancel deployment"
      keep="Let it run"
      danger
      change={cancel}
      onConfirm={() => cancel.mutate(deployment.id, { onSuccess: onClose })}
      onClose={onClose}
    >
      <p className="muted">What runs now goes on serving. The log of this attempt is kept.</p>
    </Confirm>
  );
}
