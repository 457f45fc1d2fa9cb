import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useOutletContext } from "react-router";
import { readEnvFile, revealEnv, useUpdateEnv } from "@/api/mutations";
import { envQuery } from "@/api/queries";
import type { App, EnvFile, Variable } from "@/api/types";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Copy } from "@/components/copy";
import { Card, Empty } from "@/components/page";
import { Rows } from "@/components/rows";
import { Time } from "@/components/time";
import { useToast } from "@/components/toast";
import { cli } from "@/lib/cli";
import { VariableDialog } from "./edit";
import { PredefinedCard } from "./predefined";
import { TextDialog } from "./text";

export function Component() {
  const app = useOutletContext<App>();
  const env = useQuery(envQuery(app.slug));
  const [editing, setEditing] = useState<string | null>();
  const [removing, setRemoving] = useState<string>();
  const { values, toggle, forget } = useReveal(app.slug);
  const text = useText(app.slug);
  const variables = env.data?.variables;
  const add = (
    <Button kind="primary" small icon="plus" onClick={() => setEditing(null)}>
      Add variables
    </Button>
  );
  return (
    <>
      <Card
        title="Environment"
        text="Encrypted where they are stored; the app sees them as environment variables."
        flush
        actions={
          <>
            <Button small kind="ghost" icon="edit" onClick={text.open}>
              Edit as text
            </Button>
            {variables && variables.length > 0 && (
              <Button small kind="ghost" icon="eye" onClick={toggle}>
                {values ? "Hide" : "Reveal"}
              </Button>
            )}
            {variables && variables.length > 0 && add}
          </>
        }
      >
        <Rows
          query={env}
          rows={variables}
          skeleton={[150, 240, 80]}
          empty={
            <Empty
              icon="key"
              title="No variables yet"
              text="Settings and secrets belong here, not in the image."
              action={add}
              command={cli.setEnv(app.slug)}
            />
          }
        >
          {(variables) => (
            <VariableTable variables={variables} values={values} onEdit={setEditing} onRemove={setRemoving} />
          )}
        </Rows>
      </Card>
      {env.data && <PredefinedCard predefined={env.data.predefined} />}
      {editing !== undefined && (
        <VariableDialog
          app={app}
          name={editing}
          known={variables ?? []}
          onClose={() => setEditing(undefined)}
          onSaved={forget}
        />
      )}
      {text.file && <TextDialog app={app} file={text.file} onClose={text.close} onSaved={forget} />}
      {removing && (
        <RemoveDialog app={app} name={removing} onClose={() => setRemoving(undefined)} onSaved={forget} />
      )}
    </>
  );
}

/** Values are asked for when they are wanted and forgotten when they are hidden. */
function useReveal(app: string) {
  const [values, setValues] = useState<ReadonlyMap<string, string>>();
  const toast = useToast();
  const forget = () => setValues(undefined);
  const toggle = async () => {
    if (values) return forget();
    try {
      const { variables } = await revealEnv(app);
      setValues(new Map(variables.map(({ name, value }) => [name, value ?? ""])));
    } catch (error) {
      toast.failed("The values stay hidden", error);
    }
  };
  return { values, toggle, forget };
}

/** The text has values in it: it is asked for anew each time, and forgotten with the dialog. */
function useText(app: string) {
  const [file, setFile] = useState<EnvFile>();
  const toast = useToast();
  const open = async () => {
    try {
      setFile(await readEnvFile(app));
    } catch (error) {
      toast.failed("The variables cannot be shown as text", error);
    }
  };
  return { file, open, close: () => setFile(undefined) };
}

interface TableProps {
  variables: Variable[];
  values: ReadonlyMap<string, string> | undefined;
  onEdit: (name: string) => void;
  onRemove: (name: string) => void;
}

function VariableTable({ variables, values, onEdit, onRemove }: TableProps) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>Name</th>
            <th>Value</th>
            <th className="hide-small">Changed</th>
            <th className="end">
              <span className="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {variables.map(({ name, build_time, required, locked, comment, updated_at }) => (
            <tr key={name}>
              <td>
                <code>{name}</code>
                {(build_time || required) && (
                  <span className="sub">
                    {[build_time && "for builds too", required && "required"].filter(Boolean).join(", ")}
                  </span>
                )}
                {comment && <span className="sub">{comment}</span>}
              </td>
              <td style={{ maxWidth: 340, width: "40%" }}>
                {locked ? (
                  <span className="faint">locked</span>
                ) : (
                  <Value value={values?.get(name)} name={name} />
                )}
              </td>
              <td className="hide-small">
                <Time at={updated_at} />
              </td>
              <td className="end nowrap">
                <Button
                  small
                  kind="ghost"
                  icon="edit"
                  aria-label={`Change ${name}`}
                  title="Change"
                  onClick={() => onEdit(name)}
                />
                <Button
                  small
                  kind="ghost"
                  icon="trash"
                  aria-label={`Remove ${name}`}
                  title="Remove"
                  onClick={() => onRemove(name)}
                />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Value({ value, name }: { value: string | undefined; name: string }) {
  if (value === undefined) {
    return (
      <span className="masked" role="img" aria-label="Hidden">
        ••••••••
      </span>
    );
  }
  return (
    <span className="row">
      <code className="truncate">{value || <span className="faint">empty</span>}</code>
      <Copy text={value} label={`Copy ${name}`} />
    </span>
  );
}

function RemoveDialog({
  app,
  name,
  onClose,
  onSaved,
}: {
  app: App;
  name: string;
  onClose: () => void;
  onSaved: () => void;
}) {
  const update = useUpdateEnv(app.slug);
  const confirm = () =>
    update.mutate(
      // Whoever removes it does not require it any more.
      { set: {}, unset: [name], deploy: false, required: { [name]: false } },
      {
        onSuccess: () => {
          onSaved();
          onClose();
        },
      },
    );
  return (
    <Confirm
      title={`Remove ${name}?`}
      verb="Remove"
      keep="Keep"
      danger
      change={update}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p className="muted">The value is gone then. Running instances keep it until the next deployment.</p>
    </Confirm>
  );
}
