import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { nodesQuery } from "@/api/queries";
import type { Node } from "@/api/types";
import { Button } from "@/components/button";
import { Card, Empty, PageHead, useTitle } from "@/components/page";
import { Rows } from "@/components/rows";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { cli } from "@/lib/cli";
import { nodeStatus, viewOf } from "@/lib/status";
import { AddNodeDialog } from "./add";
import { CheckSummary } from "./health";
import { Bars } from "./numbers";
import { AgentMarks, AgentVersions, Labels, Reach, Roles } from "./parts";
import { CordonMark } from "./placement";
import { Rebalance } from "./rebalance";
import { System } from "./system";
import { NodeTokens } from "./tokens";

export function Component() {
  useTitle("Nodes");
  const nodes = useQuery(nodesQuery);
  const [adding, setAdding] = useState(false);
  const add = (
    <Button kind="primary" icon="plus" onClick={() => setAdding(true)}>
      Add node
    </Button>
  );
  return (
    <div className="page">
      <PageHead title="Nodes" text="Your hosts, joined by an encrypted mesh." actions={add} />
      <Card flush>
        <Rows
          query={nodes}
          rows={nodes.data}
          skeleton={[120, 110, 90, 110, 120]}
          empty={
            <Empty
              icon="nodes"
              title="No nodes yet"
              text="A worker runs your apps, a proxy lets the world in. One host can be both."
              action={add}
              command={cli.addNode()}
            />
          }
        >
          {(nodes) => <NodeTable nodes={nodes} />}
        </Rows>
      </Card>
      <Rebalance />
      <NodeTokens />
      {adding && <AddNodeDialog onClose={() => setAdding(false)} />}
    </div>
  );
}

function NodeTable({ nodes }: { nodes: Node[] }) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>Node</th>
            <th>Status</th>
            <th className="hide-small">Roles and labels</th>
            <th className="hide-small">Agents</th>
            <th className="hide-small">Use</th>
            <th className="hide-small">Host</th>
            <th className="hide-small end">Instances</th>
          </tr>
        </thead>
        <tbody>
          {nodes.map((node) => (
            <tr key={node.id} className="linked">
              <td>
                <Link className="row-link" to={`/nodes/${node.name}`}>
                  {node.name}
                </Link>
                <span className="sub">
                  <code>{node.mesh_address}</code>
                </span>
                <Reach node={node} />
              </td>
              <td>
                <Status view={viewOf(nodeStatus, node.status)} at={node.status_since} />
                <CheckSummary health={node.health} />
                {node.last_seen_at && (
                  <span className="sub nowrap" style={{ paddingLeft: 21 }}>
                    seen <Time at={node.last_seen_at} />
                  </span>
                )}
                <CordonMark node={node} />
                {node.numbers && (
                  <div className="only-small">
                    <Bars numbers={node.numbers} />
                  </div>
                )}
              </td>
              <td className="hide-small">
                <Roles roles={node.roles} />
                <Labels node={node} />
              </td>
              <td className="hide-small">
                <AgentMarks agents={node.agents} />
                <AgentVersions agents={node.agents} />
              </td>
              <td className="hide-small">
                <Bars numbers={node.numbers} />
              </td>
              <td className="hide-small">
                {node.host && node.host.cpus > 0 ? (
                  <>
                    <span className="num nowrap">
                      {node.host.cpus} CPU · {(node.host.memory_mb / 1024).toFixed(1)} GiB
                    </span>
                    <span className="sub">{node.host.architecture}</span>
                    {node.host.os && <System os={node.host.os} />}
                  </>
                ) : (
                  <span className="faint">–</span>
                )}
              </td>
              <td className="hide-small end num">
                {node.instances}
                {node.apps > 0 && (
                  <span className="sub nowrap">{node.apps === 1 ? "1 app" : `${node.apps} apps`}</span>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
