import { useBlocker } from "react-router";
import { Button } from "./button";
import { Dialog } from "./dialog";

interface Props {
  /** What would be lost, as in "The changes to … would be lost." */
  what: string;
  changed: boolean;
  busy: boolean;
  valid: boolean;
  /** The button that sends the form. */
  save: string;
  onDiscard: () => void;
}

/** The bar below a changed form, and the question before it is left. */
export function Unsaved({ what, changed, busy, valid, save, onDiscard }: Props) {
  const guard = useBlocker(changed && !busy);
  return (
    <>
      {(changed || busy) && (
        <div className="pending-bar">
          <span className="grow">{valid ? "Unsaved changes" : "Some values cannot be right"}</span>
          <Button onClick={onDiscard}>Discard</Button>
          <Button kind="primary" type="submit" busy={busy} disabled={!valid}>
            {save}
          </Button>
        </div>
      )}
      {guard.state === "blocked" && (
        <Dialog
          title="Leave without saving?"
          onClose={() => guard.reset()}
          footer={
            <>
              <Button onClick={() => guard.reset()}>Stay</Button>
              <Button kind="danger" onClick={() => guard.proceed()}>
                Leave
              </Button>
            </>
          }
        >
          <p className="muted">The changes to {what} would be lost.</p>
        </Dialog>
      )}
    </>
  );
}
