import { type ReactNode, useState } from "react";
import { Button } from "./button";
import { CopyButton } from "./copy";
import { Dialog } from "./dialog";
import { TextField } from "./field";
import { ErrorNotice } from "./page";

interface Props {
  title: string;
  /** What the button does, in its words. */
  verb: string;
  /** The other button's words. */
  keep?: string;
  danger?: boolean;
  /** Set when a name must be typed, because this cannot be taken back at once. */
  typed?: string;
  /** The same for a terminal. */
  command?: string | undefined;
  /** The change that `onConfirm` makes. */
  change: { isPending: boolean; isError: boolean; error: unknown };
  disabled?: boolean;
  onConfirm: () => void;
  onClose: () => void;
  children: ReactNode;
}

/** Asks before a change, and shows why it was refused. */
export function Confirm({ change, command, typed, children, ...props }: Props) {
  const [text, setText] = useState("");
  const disabled = props.disabled || (typed !== undefined && text !== typed);
  return (
    <Dialog
      title={props.title}
      onClose={props.onClose}
      onSubmit={() => disabled || change.isPending || props.onConfirm()}
      footer={
        <>
          {command && <CopyButton text={command}>Copy as CLI</CopyButton>}
          <Button onClick={props.onClose}>{props.keep ?? "Cancel"}</Button>
          <Button
            kind={props.danger ? "danger" : "primary"}
            type="submit"
            busy={change.isPending}
            disabled={disabled}
          >
            {props.verb}
          </Button>
        </>
      }
    >
      {children}
      {typed !== undefined && (
        <TextField
          label={`Type ${typed} to confirm`}
          mono
          autoComplete="off"
          value={text}
          onChange={setText}
        />
      )}
      {change.isError && <ErrorNotice error={change.error} />}
    </Dialog>
  );
}
