import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { asApiError } from "@/api/errors";
import { useDeleteGitAccess, usePutGitAccess } from "@/api/mutations";
import { gitAccessQuery } from "@/api/queries";
import type { GitAccess, GitAccessRequest } from "@/api/types";
import { Button } from "@/components/button";
import { CopyButton } from "@/components/copy";
import { Dialog } from "@/components/dialog";
import { AreaField, Choices, TextField } from "@/components/field";
import { Icon } from "@/components/icon";
import { Card, Empty, ErrorNotice } from "@/components/page";
import { Time } from "@/components/time";
import { useToast } from "@/components/toast";
import { cli } from "@/lib/cli";

/** With what the app's private repositories are fetched. */
export function GitAccessCard({ app }: { app: string }) {
  const access = useQuery(gitAccessQuery(app));
  const [changing, setChanging] = useState(false);
  const [forgetting, setForgetting] = useState(false);
  const change = (label: string) => (
    <Button small icon="key" onClick={() => setChanging(true)}>
      {label}
    </Button>
  );
  return (
    <Card
      title="Private repositories"
      text="A token or key with which builds fetch the source. It is encrypted and never shown again."
      flush={access.data === null}
      actions={access.data && change("Replace")}
    >
      {access.isError && <ErrorNotice error={access.error} retry={access.refetch} />}
      {access.data === null && (
        <Empty
          icon="key"
          title="Public repositories only"
          text="They need neither a token nor a key."
          action={change("Add a token or key")}
          command={cli.gitToken(app)}
        />
      )}
      {access.data && <Stored access={access.data} onForget={() => setForgetting(true)} />}
      {changing && <AccessDialog app={app} onClose={() => setChanging(false)} />}
      {forgetting && access.data && (
        <ForgetDialog app={app} access={access.data} onClose={() => setForgetting(false)} />
      )}
    </Card>
  );
}

function Stored({ access, onForget }: { access: GitAccess; onForget: () => void }) {
  return (
    <div className="stack">
      <p>
        {access.kind === "token" ? "Token" : "Key"} for <code>{access.host}</code>
        {access.username && <> as {access.username}</>}
        <span className="sub">
          stored <Time at={access.updated_at} /> by {access.updated_by}
        </span>
      </p>
      {access.public_key && (
        <div className="stack tight">
          <span className="small muted">The repository must know it as a deploy key:</span>
          <code className="truncate">{access.public_key}</code>
          <div>
            <CopyButton text={access.public_key}>Copy public key</CopyButton>
          </div>
          <span className="small muted">
            {access.host_keys.length > 0
              ? `The host proves itself with ${access.host_keys.join(", ")}.`
              : "The first key that the host shows is trusted from then on."}
          </span>
        </div>
      )}
      <div>
        <Button small kind="danger-quiet" onClick={onForget}>
          Forget
        </Button>
      </div>
    </div>
  );
}

const empty = { host: "", username: "git", token: "", private_key: "", known_hosts: "" };

function AccessDialog({ app, onClose }: { app: string; onClose: () => void }) {
  const [kind, setKind] = useState<GitAccessRequest["kind"]>("token");
  const [form, setForm] = useState(empty);
  const put = usePutGitAccess(app);
  const toast = useToast();
  const error = put.error ? asApiError(put.error) : undefined;
  const of = (field: keyof typeof empty) => (error?.field === field ? error.message : undefined);
  const set = (field: keyof typeof empty) => (value: string) => setForm({ ...form, [field]: value });
  const { username, token, private_key, known_hosts } = form;
  const host = form.host.trim();
  const complete = kind === "token" ? username && token : private_key.trim();
  const save = () =>
    put.mutate(
      kind === "token" ? { kind, host, username, token } : { kind, host, private_key, known_hosts },
      {
        onSuccess: () => {
          toast.done(`Repositories of ${host} are fetched with this ${kind}`);
          onClose();
        },
      },
    );
  return (
    <Dialog
      title="Access to private repositories"
      onClose={onClose}
      onSubmit={save}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={put.isPending} disabled={!host || !complete}>
            Store {kind}
          </Button>
        </>
      }
    >
      <Choices
        legend="With"
        value={kind}
        onChange={setKind}
        options={[
          { value: "token", title: "Token", text: "Over HTTPS", icon: <Icon name="key" /> },
          { value: "key", title: "Deploy key", text: "Over SSH", icon: <Icon name="key" /> },
        ]}
      />
      <TextField
        label="Host"
        mono
        placeholder="git.example.com"
        help="No other host is shown it."
        value={form.host}
        onChange={set("host")}
        error={of("host")}
      />
      {kind === "token" ? (
        <>
          <TextField
            label="User name"
            autoComplete="off"
            help="Some hosts expect one beside the token; else it does not matter."
            value={username}
            onChange={set("username")}
            error={of("username")}
          />
          <TextField
            label="Token"
            type="password"
            autoComplete="new-password"
            help="One that may only read is enough."
            value={token}
            onChange={set("token")}
            error={of("token")}
          />
        </>
      ) : (
        <>
          <AreaField
            autoComplete="off"
            spellCheck={false}
            label="Private key"
            help="From ssh-keygen, without a passphrase."
            value={private_key}
            onChange={set("private_key")}
            error={of("private_key")}
          />
          <AreaField
            autoComplete="off"
            spellCheck={false}
            label="Keys of the host"
            optional
            help="As ssh-keyscan prints them. Without any the first one that the host shows is trusted."
            value={known_hosts}
            onChange={set("known_hosts")}
            error={of("known_hosts")}
          />
        </>
      )}
      {error && !Object.keys(empty).includes(error.field ?? "") && <ErrorNotice error={error} />}
    </Dialog>
  );
}

function ForgetDialog({ app, access, onClose }: { app: string; access: GitAccess; onClose: () => void }) {
  const remove = useDeleteGitAccess(app);
  const toast = useToast();
  const confirm = () =>
    remove.mutate(undefined, {
      onSuccess: () => {
        toast.done(`The ${access.kind} for ${access.host} is forgotten`);
        onClose();
      },
    });
  return (
    <Dialog
      title={`Forget the ${access.kind} for ${access.host}?`}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Keep</Button>
          <Button kind="danger" busy={remove.isPending} onClick={confirm}>
            Forget {access.kind}
          </Button>
        </>
      }
    >
      <p className="muted">The app keeps running; builds from a private repository fail from now on.</p>
      {remove.isError && <ErrorNotice error={remove.error} />}
    </Dialog>
  );
}
