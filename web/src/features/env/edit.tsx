import { type ClipboardEvent, useState } from "react";
import { useNavigate } from "react-router";
import { asApiError } from "@/api/errors";
import { useUpdateEnv } from "@/api/mutations";
import type { App, Variable } from "@/api/types";
import { Button } from "@/components/button";
import { Dialog } from "@/components/dialog";
import { Field } from "@/components/field";
import { ErrorNotice } from "@/components/page";
import { FlagFields, flagChanges, flagsOf } from "./flags";
import { nameProblem, parseEnvFile } from "./parse";

interface Row {
  key: number;
  name: string;
  value: string;
}

interface Props {
  app: App;
  /** The variable to change, or null to add new ones. */
  name: string | null;
  known: Variable[];
  onClose: () => void;
  onSaved: () => void;
}

export function VariableDialog({ app, name, known, onClose, onSaved }: Props) {
  const [rows, setRows] = useState<Row[]>([{ key: 0, name: name ?? "", value: "" }]);
  const [deploy, setDeploy] = useState(false);
  const was = flagsOf(known.find((variable) => variable.name === name));
  const [flags, setFlags] = useState(was);
  const [tried, setTried] = useState(false);
  const update = useUpdateEnv(app.slug);
  const navigate = useNavigate();
  const error = update.error ? asApiError(update.error) : undefined;
  const change = (key: number, part: Partial<Row>) =>
    setRows(rows.map((row) => (row.key === key ? { ...row, ...part } : row)));

  const submit = () => {
    setTried(true);
    if (rows.some((row) => nameProblem(row.name))) return;
    const changed = rows.filter((row) => name === null || row.value !== "");
    const set = Object.fromEntries(changed.map((row) => [row.name, row.value]));
    const names = rows.map((row) => row.name);
    update.mutate(
      { set, unset: [], deploy, ...flagChanges(names, was, flags) },
      {
        onSuccess: ({ deployment }) => {
          onSaved();
          onClose();
          if (deployment) navigate(`/apps/${app.slug}/deployments/${deployment.id}`);
        },
      },
    );
  };
  const paste = (event: ClipboardEvent) => {
    const found = parseEnvFile(event.clipboardData.getData("text"));
    if (!found || name !== null) return;
    event.preventDefault();
    const pasted = Object.entries(found).map(([key, value], index) => ({
      key: Date.now() + index,
      name: key,
      value,
    }));
    setRows([...rows.filter((row) => row.name || row.value), ...pasted]);
  };
  return (
    <Dialog
      title={name === null ? "Add variables" : `Change ${name}`}
      onClose={onClose}
      onSubmit={submit}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={update.isPending}>
            {deploy ? "Save and deploy" : "Save"}
          </Button>
        </>
      }
    >
      {name === null && (
        <p className="small muted">Paste a whole .env file into a name to fill in all of it.</p>
      )}
      {rows.map((row) => (
        <RowFields
          key={row.key}
          row={row}
          fixed={name !== null}
          problem={problemOf(row, tried, error?.field === row.name ? error.message : undefined)}
          replaces={name === null && known.some((variable) => variable.name === row.name)}
          onChange={(part) => change(row.key, part)}
          onPaste={paste}
        />
      ))}
      {name === null && (
        <Button
          small
          kind="ghost"
          icon="plus"
          onClick={() => setRows([...rows, { key: Date.now(), name: "", value: "" }])}
        >
          Another one
        </Button>
      )}
      <FlagFields flags={flags} was={was} name={name} onChange={(part) => setFlags({ ...flags, ...part })} />
      {app.release && (
        <label className="checkbox">
          <input type="checkbox" checked={deploy} onChange={(event) => setDeploy(event.target.checked)} />
          <span>
            Deploy now
            <br />
            <span className="faint">Otherwise the change stays pending until it is applied.</span>
          </span>
        </label>
      )}
      {error && !rows.some((row) => row.name === error.field) && <ErrorNotice error={error} />}
    </Dialog>
  );
}

function problemOf(row: Row, tried: boolean, server: string | undefined) {
  return server ?? (tried || row.name ? nameProblem(row.name) : undefined);
}

interface RowProps {
  row: Row;
  fixed: boolean;
  problem: string | undefined;
  replaces: boolean;
  onChange: (part: Partial<Row>) => void;
  onPaste: (event: ClipboardEvent) => void;
}

function RowFields({ row, fixed, problem, replaces, onChange, onPaste }: RowProps) {
  return (
    <div className="fields" style={{ gridTemplateColumns: fixed ? "1fr" : "minmax(0, 2fr) minmax(0, 3fr)" }}>
      {!fixed && (
        <Field label="Name" error={problem} help={replaces ? "Replaces the present value." : undefined}>
          {(control) => (
            <input
              className="input mono"
              autoComplete="off"
              spellCheck={false}
              value={row.name}
              onChange={(event) => onChange({ name: event.target.value })}
              onPaste={onPaste}
              {...control}
            />
          )}
        </Field>
      )}
      <Field
        label={fixed ? "New value" : "Value"}
        help={fixed ? "Left empty, it keeps the present one." : undefined}
      >
        {(control) => (
          <textarea
            className="textarea mono"
            rows={1}
            style={{ minHeight: "var(--control)", height: fixed ? 96 : "var(--control)", paddingBlock: 6 }}
            autoComplete="off"
            spellCheck={false}
            value={row.value}
            onChange={(event) => onChange({ value: event.target.value })}
            {...control}
          />
        )}
      </Field>
    </div>
  );
}
