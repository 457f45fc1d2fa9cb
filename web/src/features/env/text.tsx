import { useState } from "react";
import { useNavigate } from "react-router";
import { asApiError } from "@/api/errors";
import { useWriteEnvFile } from "@/api/mutations";
import type { App, EnvFile } from "@/api/types";
import { Button } from "@/components/button";
import { Copy } from "@/components/copy";
import { Dialog } from "@/components/dialog";
import { Field } from "@/components/field";
import { ErrorNotice } from "@/components/page";

interface Props {
  app: App;
  file: EnvFile;
  onClose: () => void;
  onSaved: () => void;
}

/** All variables as one text. What is not in it is removed, so the server refuses a text that another change overtook. */
export function TextDialog({ app, file, onClose, onSaved }: Props) {
  const [text, setText] = useState(file.text);
  const [deploy, setDeploy] = useState(false);
  const write = useWriteEnvFile(app.slug);
  const navigate = useNavigate();
  const error = write.error ? asApiError(write.error) : undefined;
  const ofText = error?.field?.startsWith("text");
  const submit = () =>
    write.mutate(
      { text, version: file.version, keep: false, deploy },
      {
        onSuccess: ({ deployment }) => {
          onSaved();
          onClose();
          if (deployment) navigate(`/apps/${app.slug}/deployments/${deployment.id}`);
        },
      },
    );
  return (
    <Dialog
      title="Edit as text"
      onClose={onClose}
      onSubmit={submit}
      footer={
        <>
          <Copy text={text} label="Copy all of it" />
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={write.isPending}>
            {deploy ? "Save and deploy" : "Save"}
          </Button>
        </>
      }
    >
      <Field
        label="Variables"
        error={ofText ? error?.message : undefined}
        help={
          <>
            <code>NAME=value</code> lines and <code># comments</code>, as in a .env file: paste one here. A
            variable that is not in the text is removed.
          </>
        }
      >
        {(control) => (
          <textarea
            className="textarea mono"
            rows={18}
            autoComplete="off"
            spellCheck={false}
            wrap="off"
            value={text}
            onChange={(event) => setText(event.target.value)}
            {...control}
          />
        )}
      </Field>
      {file.locked.length > 0 && (
        <p className="small muted">
          Locked, and therefore not shown, but kept: <code>{file.locked.join(", ")}</code>
        </p>
      )}
      {app.release && (
        <label className="checkbox">
          <input type="checkbox" checked={deploy} onChange={(event) => setDeploy(event.target.checked)} />
          <span>Deploy now</span>
        </label>
      )}
      {error && !ofText && <ErrorNotice error={error} />}
    </Dialog>
  );
}
