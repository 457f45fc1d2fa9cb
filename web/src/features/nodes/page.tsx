import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate, useParams } from "react-router";
import { asApiError } from "@/api/errors";
import { useDeleteNode } from "@/api/mutations";
import { nodeQuery } from "@/api/queries";
import type { Node } from "@/api/types";
import { Button, ButtonLink } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Copy } from "@/components/copy";
import { Card, Empty, ErrorNotice, Notice, PageHead, Skeleton, useTitle } from "@/components/page";
import { Badge, Status } from "@/components/status";
import { Time } from "@/components/time";
import { useToast } from "@/components/toast";
import { nodeStatus, viewOf } from "@/lib/status";
import { sentence } from "@/lib/text";
import { AgentLogCard } from "./agent-log";
import { AbilitiesCard } from "./capabilities";
import { Healing } from "./healing";
import { Health, History, Missing } from "./health";
import { Instances } from "./instances";
import { KeyCard } from "./keys";
import { Numbers } from "./numbers";
import { agentView, Labels, Roles } from "./parts";
import { MeshPeers } from "./peers";
import { PlacementCard } from "./placement";
import { Corrections, Strays } from "./put-right";
import { Storage, Unmanaged } from "./storage";
import { SystemFacts } from "./system";

export function Component() {
  const { node: name = "" } = useParams();
  useTitle(name);
  const { data: node, error, refetch } = useQuery(nodeQuery(name));
  if (error && asApiError(error).status === 404) {
    return (
      <div className="page">
        <Empty
          icon="nodes"
          title={`There is no node “${name}”`}
          text="It may have been removed."
          action={<ButtonLink to="/nodes">All nodes</ButtonLink>}
        />
      </div>
    );
  }
  return (
    <div className="page">
      <PageHead
        title={
          <>
            {name} {node && <Badge view={viewOf(nodeStatus, node.status)} />}
          </>
        }
        text={node ? <Seen node={node} /> : <Skeleton width={240} />}
      />
      {error && <ErrorNotice error={error} retry={refetch} />}
      {node && <Detail node={node} />}
    </div>
  );
}

function Seen({ node }: { node: Node }) {
  return (
    <span>
      {node.status_since && (
        <>
          {viewOf(nodeStatus, node.status).label} since <Time at={node.status_since} />,{" "}
        </>
      )}
      {node.last_seen_at ? (
        <>
          last seen <Time at={node.last_seen_at} />
        </>
      ) : (
        "not seen yet"
      )}
    </span>
  );
}

function Detail({ node }: { node: Node }) {
  return (
    <>
      <Missing node={node} />
      {node.warnings.map((warning) => (
        <Notice tone="warn" title="This host needs a look" key={warning}>
          {sentence(warning)}.
        </Notice>
      ))}
      <Healing node={node} />
      <Numbers name={node.name} />
      <div className="columns">
        <div className="stack loose">
          <Instances node={node} />
          <Agents node={node} />
          <AbilitiesCard node={node} />
          <Storage node={node} />
          <Strays node={node} />
          <Unmanaged node={node} />
          <MeshPeers name={node.name} />
          <Corrections node={node} />
          <History node={node} />
        </div>
        <div className="stack loose">
          <Health node={node} />
          <Host node={node} />
          <PlacementCard node={node} />
          <KeyCard node={node} />
          {node.origin === "enrolled" && <Remove node={node} />}
        </div>
      </div>
      <AgentLogCard node={node} />
    </>
  );
}

function Agents({ node }: { node: Node }) {
  return (
    <Card title="Agents" text="One process per role, each with its own desired state." flush>
      <div className="table-wrap">
        <table className="table">
          <thead>
            <tr>
              <th>Agent</th>
              <th>State</th>
              <th className="hide-small">Version</th>
              <th>Generation</th>
              <th className="hide-small">Last seen</th>
            </tr>
          </thead>
          <tbody>
            {node.agents.map((agent) => (
              <tr key={agent.kind}>
                <td>{agent.kind}</td>
                <td>
                  <Status view={agentView(agent)} />
                </td>
                <td className="hide-small num">{agent.version ?? "–"}</td>
                <td className="num nowrap" title="applied / wanted">
                  {agent.applied_generation}
                  <span className="faint"> / {agent.generation}</span>
                </td>
                <td className="hide-small">{agent.last_seen_at ? <Time at={agent.last_seen_at} /> : "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function Host({ node }: { node: Node }) {
  const { host } = node;
  return (
    <Card title="Host">
      <dl className="facts">
        <dt>Roles</dt>
        <dd>
          <Roles roles={node.roles} />
        </dd>
        {Object.keys(node.labels).length > 0 && (
          <>
            <dt>Labels</dt>
            <dd>
              <Labels node={node} />
              {node.declared_labels.length > 0 && (
                <span className="small faint">
                  {" "}
                  The configuration sets {node.declared_labels.join(", ")}.
                </span>
              )}
            </dd>
          </>
        )}
        {node.zone && (
          <>
            <dt>Zone</dt>
            <dd>
              <code>{node.zone}</code>
            </dd>
          </>
        )}
        <dt>Joined by</dt>
        <dd>{node.origin === "declared" ? "configuration" : "token, or entered by hand"}</dd>
        <dt>Mesh address</dt>
        <dd className="row">
          <code>{node.mesh_address}</code> <Copy text={node.mesh_address} label="Copy mesh address" />
        </dd>
        {node.endpoint && (
          <>
            <dt>Endpoint</dt>
            <dd>
              <code>{node.endpoint}</code>
            </dd>
          </>
        )}
        {host && host.cpus > 0 && (
          <>
            <dt>Processor</dt>
            <dd>
              {host.cpus} × {host.architecture}
            </dd>
            <dt>Memory</dt>
            <dd className="num">{(host.memory_mb / 1024).toFixed(1)} GiB</dd>
            <dt>Kernel</dt>
            <dd>{host.kernel}</dd>
          </>
        )}
        {host?.os && <SystemFacts os={host.os} />}
        <dt>Instances</dt>
        <dd className="num">{node.instances}</dd>
        <dt>Known since</dt>
        <dd>
          <Time at={node.created_at} />
        </dd>
      </dl>
    </Card>
  );
}

/** Cannot be undone, so the name is typed; declared nodes are removed where they are declared. */
function Remove({ node }: { node: Node }) {
  const [open, setOpen] = useState(false);
  const remove = useDeleteNode();
  const navigate = useNavigate();
  const toast = useToast();
  const confirm = () =>
    remove.mutate(node.name, {
      onSuccess: () => {
        toast.done(`${node.name} was removed`);
        navigate("/nodes");
      },
    });
  return (
    <Card title="Remove node">
      <div className="stack">
        {node.instances > 0 ? (
          <p className="small muted">
            {node.instances === 1 ? "1 instance" : `${node.instances} instances`} should run on it:{" "}
            <code>wh node drain {node.name}</code> moves them elsewhere first.
          </p>
        ) : (
          <p className="small muted">Its key stops working at once.</p>
        )}
        <div>
          <Button
            kind="danger-quiet"
            small
            icon="trash"
            disabled={node.instances > 0}
            onClick={() => setOpen(true)}
          >
            Remove {node.name}
          </Button>
        </div>
      </div>
      {open && (
        <Confirm
          title={`Remove ${node.name}?`}
          verb="Remove"
          keep="Keep"
          danger
          typed={node.name}
          change={remove}
          onConfirm={confirm}
          onClose={() => setOpen(false)}
        >
          <p className="muted">To come back, the host must join again with a new token.</p>
        </Confirm>
      )}
    </Card>
  );
}
