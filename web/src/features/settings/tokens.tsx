import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { asApiError } from "@/api/errors";
import { useCreateToken, useDeleteToken } from "@/api/mutations";
import { tokensQuery } from "@/api/queries";
import type { Token } from "@/api/types";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Code } from "@/components/copy";
import { Dialog } from "@/components/dialog";
import { Field, TextField } from "@/components/field";
import { Card, Empty, ErrorNotice, Notice } from "@/components/page";
import { Rows } from "@/components/rows";
import { Time } from "@/components/time";
import { useToast } from "@/components/toast";
import { cli } from "@/lib/cli";

export function Tokens() {
  const tokens = useQuery(tokensQuery);
  const [adding, setAdding] = useState(false);
  const [revoking, setRevoking] = useState<Token>();
  const add = (
    <Button kind="primary" small icon="plus" onClick={() => setAdding(true)}>
      New token
    </Button>
  );
  const some = tokens.data && tokens.data.length > 0;
  return (
    <section id="tokens">
      <Card
        title="API tokens"
        text="For the wh command, scripts and pipelines; each may do what you may do."
        flush
        actions={some && add}
      >
        <Rows
          query={tokens}
          rows={tokens.data}
          skeleton={[140, 90, 90]}
          empty={
            <Empty
              icon="key"
              title="No tokens yet"
              text="The command line makes one for itself when you sign in."
              action={add}
              command={cli.login(location.origin)}
            />
          }
        >
          {(tokens) => <TokenTable tokens={tokens} onRevoke={setRevoking} />}
        </Rows>
      </Card>
      {adding && <NewTokenDialog onClose={() => setAdding(false)} />}
      {revoking && <RevokeDialog token={revoking} onClose={() => setRevoking(undefined)} />}
    </section>
  );
}

function TokenTable({ tokens, onRevoke }: { tokens: Token[]; onRevoke: (token: Token) => void }) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>Name</th>
            <th>Last used</th>
            <th className="hide-small">Ends</th>
            <th className="end">
              <span className="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {tokens.map((token) => (
            <tr key={token.id}>
              <td>
                {token.name}
                <span className="sub">
                  made <Time at={token.created_at} />
                </span>
              </td>
              <td>
                {token.last_used_at ? <Time at={token.last_used_at} /> : <span className="faint">never</span>}
              </td>
              <td className="hide-small">
                {token.expires_at ? <Time at={token.expires_at} /> : <span className="faint">never</span>}
              </td>
              <td className="end">
                <Button
                  small
                  kind="danger-quiet"
                  onClick={() => onRevoke(token)}
                  aria-label={`Revoke ${token.name}`}
                >
                  Revoke
                </Button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function NewTokenDialog({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [days, setDays] = useState("90");
  const create = useCreateToken();
  const error = create.error ? asApiError(create.error) : undefined;
  if (create.data) {
    return (
      <Dialog title="Token created" onClose={onClose} footer={<Button onClick={onClose}>Done</Button>}>
        <Notice tone="warn" title="Copy it now">
          It is not shown again.
        </Notice>
        <Code text={create.data.token} wrap />
      </Dialog>
    );
  }
  return (
    <Dialog
      title="New API token"
      onClose={onClose}
      onSubmit={() =>
        create.mutate({ name: name.trim(), expires_in_days: days === "" ? null : Number(days) })
      }
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={create.isPending} disabled={name.trim() === ""}>
            Create token
          </Button>
        </>
      }
    >
      <TextField
        label="Name"
        autoFocus
        placeholder="ci"
        help="What will use it, so that you know later what stops when you revoke it."
        value={name}
        onChange={setName}
        error={error?.field === "name" ? error.message : undefined}
      />
      <Field label="Valid for">
        {(control) => (
          <select
            className="select"
            value={days}
            onChange={(event) => setDays(event.target.value)}
            {...control}
          >
            <option value="7">7 days</option>
            <option value="30">30 days</option>
            <option value="90">90 days (recommended)</option>
            <option value="365">A year</option>
            <option value="">Until it is revoked</option>
          </select>
        )}
      </Field>
      {error && error.field !== "name" && <ErrorNotice error={error} />}
    </Dialog>
  );
}

function RevokeDialog({ token, onClose }: { token: Token; onClose: () => void }) {
  const remove = useDeleteToken();
  const toast = useToast();
  const confirm = () =>
    remove.mutate(token.id, {
      onSuccess: () => {
        toast.done(`Token “${token.name}” is revoked`);
        onClose();
      },
    });
  return (
    <Confirm
      title={`Revoke “${token.name}”?`}
      verb="Revoke token"
      keep="Keep"
      danger
      change={remove}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p className="muted">What uses it is signed out at once. This cannot be undone.</p>
    </Confirm>
  );
}
