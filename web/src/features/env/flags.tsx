import type { ReactNode } from "react";
import type { Variable, VariablesPatch } from "@/api/types";
import { TextField } from "@/components/field";

/** What is said about a variable besides its value. */
export interface Flags {
  build_time: boolean;
  required: boolean;
  locked: boolean;
  comment: string;
}

export function flagsOf(variable: Variable | undefined): Flags {
  const { build_time = false, required = false, locked = false, comment } = variable ?? {};
  return { build_time, required, locked, comment: comment ?? "" };
}

/** The part of a patch that makes `now` of `was`, for all `names`. */
export function flagChanges(names: string[], was: Flags, now: Flags): Partial<VariablesPatch> {
  const all = <T,>(value: T) => Object.fromEntries(names.map((name) => [name, value]));
  return {
    ...(now.build_time !== was.build_time && { build_time: all(now.build_time) }),
    ...(now.required !== was.required && { required: all(now.required) }),
    ...(now.locked !== was.locked && { locked: all(now.locked) }),
    ...(now.comment !== was.comment && { comments: all(now.comment) }),
  };
}

interface Props {
  flags: Flags;
  was: Flags;
  /** Of the variable, if it is one. */
  name: string | null;
  onChange: (part: Partial<Flags>) => void;
}

export function FlagFields({ flags, was, name, onChange }: Props) {
  return (
    <>
      <TextField
        label="Comment"
        optional
        autoComplete="off"
        value={flags.comment}
        onChange={(comment) => onChange({ comment })}
      />
      <Flag label="For builds too" on={flags.build_time} onChange={(on) => onChange({ build_time: on })}>
        Steps mount it with <code>RUN --mount=type=secret,id={name ?? "NAME"}</code>.
      </Flag>
      <Flag label="Required" on={flags.required} onChange={(on) => onChange({ required: on })}>
        Nothing is deployed while it has no value.
      </Flag>
      <Flag
        label="Locked"
        on={flags.locked}
        disabled={was.locked}
        onChange={(on) => onChange({ locked: on })}
      >
        {was.locked
          ? "Its value can be replaced, but never shown. Remove the variable to begin anew."
          : "Nobody can read the value again, only replace it. There is no way back."}
      </Flag>
    </>
  );
}

interface FlagProps {
  label: string;
  on: boolean;
  disabled?: boolean;
  onChange: (on: boolean) => void;
  children: ReactNode;
}

function Flag({ label, on, disabled, onChange, children }: FlagProps) {
  return (
    <label className="checkbox">
      <input
        type="checkbox"
        checked={on}
        disabled={disabled}
        onChange={(event) => onChange(event.target.checked)}
      />
      <span>
        {label}
        <br />
        <span className="faint">{children}</span>
      </span>
    </label>
  );
}
