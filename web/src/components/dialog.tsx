import { type ReactNode, useEffect, useId, useRef } from "react";
import { Button } from "./button";

interface Props {
  title: string;
  onClose: () => void;
  children: ReactNode;
  footer?: ReactNode;
  /** Set when the dialog is a form; Enter then submits. */
  onSubmit?: () => void;
}

/** The browser's own modal dialog: it traps focus, closes on Escape and gives focus back. Mounted means open. */
export function Dialog({ title, onClose, children, footer, onSubmit }: Props) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  const content = (
    <>
      <div className="dialog-head">
        <h2 id={id}>{title}</h2>
        <Button kind="ghost" small icon="close" onClick={onClose} aria-label="Close" />
      </div>
      <div className="dialog-body">{children}</div>
      {footer && <div className="dialog-foot">{footer}</div>}
    </>
  );
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape is the keyboard's way, the click is on the backdrop
    <dialog
      ref={ref}
      className="dialog"
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === ref.current && onClose()}
    >
      {onSubmit ? (
        <form
          noValidate
          onSubmit={(event) => {
            event.preventDefault();
            onSubmit();
          }}
        >
          {content}
        </form>
      ) : (
        <div>{content}</div>
      )}
    </dialog>
  );
}
