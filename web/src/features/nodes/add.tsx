import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { asApiError } from "@/api/errors";
import { useCreateNodeToken } from "@/api/mutations";
import { nodesQuery } from "@/api/queries";
import type { NewNodeToken, Node, Role } from "@/api/types";
import { Button, ButtonLink } from "@/components/button";
import { Code } from "@/components/copy";
import { Dialog } from "@/components/dialog";
import { TextField } from "@/components/field";
import { ErrorNotice } from "@/components/page";
import { Status, StatusMark } from "@/components/status";
import { Time } from "@/components/time";
import { nodeStatus, viewOf } from "@/lib/status";

const offered: { role: Role; title: string; text: string }[] = [
  { role: "worker", title: "Worker", text: "builds and runs apps" },
  { role: "proxy", title: "Proxy", text: "takes requests from the internet" },
];

export function AddNodeDialog({ nodes, onClose }: { nodes: Node[]; onClose: () => void }) {
  const [before] = useState(() => new Set(nodes.map((node) => node.id)));
  const create = useCreateNodeToken();
  return (
    <Dialog title="Add node" onClose={onClose}>
      {create.data ? (
        <Waiting token={create.data} before={before} onClose={onClose} />
      ) : (
        <TokenForm create={create} />
      )}
    </Dialog>
  );
}

function TokenForm({ create }: { create: ReturnType<typeof useCreateNodeToken> }) {
  const [roles, setRoles] = useState<Role[]>(["worker"]);
  const [name, setName] = useState("");
  const error = create.error ? asApiError(create.error) : undefined;
  const toggle = (role: Role) =>
    setRoles(roles.includes(role) ? roles.filter((other) => other !== role) : [...roles, role]);
  return (
    <form
      className="stack"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        create.mutate({ roles, name: name.trim() || null });
      }}
    >
      <p className="muted">A node joins with a token that works once and ends after an hour.</p>
      <div className="field">
        <span className="label">What the host is for</span>
        {offered.map(({ role, title, text }) => (
          <label className="checkbox" key={role}>
            <input type="checkbox" checked={roles.includes(role)} onChange={() => toggle(role)} />
            <span>
              {title} <span className="faint">– {text}</span>
            </span>
          </label>
        ))}
      </div>
      <TextField
        label="Name"
        optional
        mono
        placeholder="w1"
        help="Only a host of this name may use the token then."
        value={name}
        onChange={setName}
        error={error?.field === "name" ? error.message : undefined}
      />
      {error && error.field !== "name" && <ErrorNotice error={error} />}
      <Button kind="primary" type="submit" busy={create.isPending} disabled={roles.length === 0}>
        Create token
      </Button>
    </form>
  );
}

const POLL_MS = 2_000;

/** Shows the command and waits, live, until a node that was not there before comes online. */
function Waiting({
  token,
  before,
  onClose,
}: {
  token: NewNodeToken;
  before: ReadonlySet<string>;
  onClose: () => void;
}) {
  const { data: nodes = [] } = useQuery({ ...nodesQuery, refetchInterval: POLL_MS });
  const joined = nodes.find((node) => !before.has(node.id));
  return (
    <div className="stack">
      <p className="muted">Run this on the new host, as root. The token is shown only now.</p>
      <Code text={token.command} prompt wrap />
      <p className="small faint">
        The token ends <Time at={token.expires_at} />.
      </p>
      <div className={joined?.status === "online" ? "waiting-node in" : "waiting-node"} role="status">
        {joined ? (
          <>
            <span className="grow">
              <b>{joined.name}</b> has joined
            </span>
            <Status view={viewOf(nodeStatus, joined.status)} />
          </>
        ) : (
          <>
            <StatusMark tone="busy" />
            <span className="grow">Waiting for the node…</span>
          </>
        )}
      </div>
      <div className="row" style={{ justifyContent: "flex-end" }}>
        <Button onClick={onClose}>Close</Button>
        {joined && (
          <ButtonLink kind="primary" to={`/nodes/${joined.name}`}>
            Look at {joined.name}
          </ButtonLink>
        )}
      </div>
    </div>
  );
}
