import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { asApiError } from "@/api/errors";
import { isAdmin, nodesQuery, sessionQuery } from "@/api/queries";
import {
  type RouteToken,
  routeTokensQuery,
  useCreateRouteToken,
  useDeleteRouteToken,
  useRotateRouteToken,
} from "@/api/routes";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Code } from "@/components/copy";
import { Dialog } from "@/components/dialog";
import { Field, TextField } from "@/components/field";
import { Card, Empty, ErrorNotice, Notice } from "@/components/page";
import { Rows } from "@/components/rows";
import { Time } from "@/components/time";
import { useToast } from "@/components/toast";

type Open = "new" | { rotate: RouteToken } | { revoke: RouteToken };

export function RouteTokens() {
  const { data: session } = useQuery(sessionQuery);
  const tokens = useQuery(routeTokensQuery);
  const [open, setOpen] = useState<Open>();
  const mayChange = isAdmin(session);
  const close = () => setOpen(undefined);
  const add = mayChange && (
    <Button kind="primary" small icon="plus" onClick={() => setOpen("new")}>
      New route token
    </Button>
  );
  const some = tokens.data && tokens.data.length > 0;
  return (
    <section id="route-tokens">
      <Card
        title="Route tokens"
        text="For a Traefik of your own, which reads its routes with one. Each reads one table and nothing else."
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
              title="No route tokens"
              text="WiseHosting's own proxies need none."
              action={add || undefined}
              command="wh route-token create edge-1"
            />
          }
        >
          {(tokens) => <TokenTable tokens={tokens} onOpen={mayChange ? setOpen : undefined} />}
        </Rows>
      </Card>
      {open === "new" && <NewDialog onClose={close} />}
      {typeof open === "object" && "rotate" in open && <RotateDialog token={open.rotate} onClose={close} />}
      {typeof open === "object" && "revoke" in open && <RevokeDialog token={open.revoke} onClose={close} />}
    </section>
  );
}

interface TableProps {
  tokens: RouteToken[];
  onOpen: ((open: Open) => void) | undefined;
}

function TokenTable({ tokens, onOpen }: TableProps) {
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
                  {token.worker ? `zones of ${token.worker}` : "routes of the proxies"}, made by{" "}
                  {token.created_by}
                </span>
              </td>
              <td>
                {token.last_used_at ? <Time at={token.last_used_at} /> : <span className="faint">never</span>}
              </td>
              <td className="hide-small">
                {token.expires_at ? <Time at={token.expires_at} /> : <span className="faint">never</span>}
              </td>
              <td className="end">
                {onOpen && (
                  <>
                    <Button
                      small
                      onClick={() => onOpen({ rotate: token })}
                      aria-label={`Replace ${token.name}`}
                    >
                      Replace
                    </Button>
                    <Button
                      small
                      kind="danger-quiet"
                      onClick={() => onOpen({ revoke: token })}
                      aria-label={`Revoke ${token.name}`}
                    >
                      Revoke
                    </Button>
                  </>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Traefik's static configuration, to paste. */
function staticConfiguration(endpoint: string, token: string) {
  return [
    "providers:",
    "  providersThrottleDuration: 100ms",
    "  http:",
    `    endpoint: "${endpoint}"`,
    "    pollInterval: 5s",
    "    headers:",
    `      Authorization: "Bearer ${token}"`,
    "entryPoints:",
    "  web:",
    '    address: ":80"',
    "  websecure:",
    '    address: ":443"',
  ].join("\n");
}

function Made({ token, endpoint, onClose }: { token: string; endpoint: string; onClose: () => void }) {
  return (
    <Dialog title="Route token created" onClose={onClose} footer={<Button onClick={onClose}>Done</Button>}>
      <Notice tone="warn" title="Copy it now">
        It is not shown again. This is the part of Traefik’s static configuration that uses it.
      </Notice>
      <Code text={token} wrap />
      <Code text={staticConfiguration(endpoint, token)} wrap />
    </Dialog>
  );
}

function NewDialog({ onClose }: { onClose: () => void }) {
  const nodes = useQuery(nodesQuery);
  const [name, setName] = useState("");
  const [worker, setWorker] = useState("");
  const [days, setDays] = useState("365");
  const create = useCreateRouteToken();
  const error = create.error ? asApiError(create.error) : undefined;
  if (create.data) return <Made {...create.data} onClose={onClose} />;
  const workers = (nodes.data ?? []).filter((node) => node.roles.includes("worker"));
  return (
    <Dialog
      title="New route token"
      onClose={onClose}
      onSubmit={() =>
        create.mutate({
          name: name.trim(),
          worker: worker || null,
          expires_in_days: days === "" ? null : Number(days),
        })
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
        placeholder="edge-1"
        help="The host that gets it."
        value={name}
        onChange={setName}
        error={error?.field === "name" ? error.message : undefined}
      />
      <Field label="Reads">
        {(control) => (
          <select
            className="select"
            value={worker}
            onChange={(event) => setWorker(event.target.value)}
            {...control}
          >
            <option value="">The routes of the proxies</option>
            {workers.map((node) => (
              <option key={node.id} value={node.name}>
                Direct zones of {node.name}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label="Valid for">
        {(control) => (
          <select
            className="select"
            value={days}
            onChange={(event) => setDays(event.target.value)}
            {...control}
          >
            <option value="90">90 days</option>
            <option value="365">A year</option>
            <option value="">Until it is revoked</option>
          </select>
        )}
      </Field>
      {error && error.field !== "name" && <ErrorNotice error={error} />}
    </Dialog>
  );
}

function RotateDialog({ token, onClose }: { token: RouteToken; onClose: () => void }) {
  const rotate = useRotateRouteToken();
  if (rotate.data) return <Made {...rotate.data} onClose={onClose} />;
  return (
    <Confirm
      title={`Replace “${token.name}”?`}
      verb="Make the new one"
      keep="Cancel"
      change={rotate}
      onConfirm={() => rotate.mutate(token.id)}
      onClose={onClose}
    >
      <p className="muted">The old token works for another day: time to take the new one to its host.</p>
    </Confirm>
  );
}

function RevokeDialog({ token, onClose }: { token: RouteToken; onClose: () => void }) {
  const remove = useDeleteRouteToken();
  const toast = useToast();
  const confirm = () =>
    remove.mutate(token.id, {
      onSuccess: () => {
        toast.done(`Route token “${token.name}” is revoked`);
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
      <p className="muted">Traefik keeps the routes that it has, and hears of no change any more.</p>
    </Confirm>
  );
}
