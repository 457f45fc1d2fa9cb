import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { type NodeInstance, nodeInstancesQuery } from "@/api/nodes";
import type { Node } from "@/api/types";
import { Card } from "@/components/page";
import { Rows } from "@/components/rows";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { bytes, cores } from "@/lib/bytes";
import { instanceState, unknown, viewOf } from "@/lib/status";

/** What runs here. */
export function Instances({ node }: { node: Node }) {
  const query = useQuery({ ...nodeInstancesQuery(node.name), enabled: node.roles.includes("worker") });
  if (!node.roles.includes("worker")) return null;
  const others = query.data?.others ?? 0;
  return (
    <Card title="Instances" text={others > 0 ? `And ${others} of other organizations.` : undefined} flush>
      <Rows
        query={query}
        rows={query.data?.items}
        skeleton={[120, 90, 90]}
        empty={<p className="card-body small muted">None of your apps runs here.</p>}
      >
        {(instances) => (
          <div className="table-wrap">
            <table className="table">
              <thead>
                <tr>
                  <th>App</th>
                  <th>State</th>
                  <th className="end">Use</th>
                </tr>
              </thead>
              <tbody>
                {instances.map((instance) => (
                  <Row key={instance.id} instance={instance} />
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Rows>
    </Card>
  );
}

function Row({ instance }: { instance: NodeInstance }) {
  const { app, stats, observed_at, unknown_since } = instance;
  return (
    <tr>
      <td>
        <Link to={`/apps/${app}`}>{app}</Link>
        <span className="sub num">
          v{instance.release}
          {instance.task && ", a command"}
          {!instance.wanted && ", leaving"}
        </span>
      </td>
      <td>
        <Status view={unknown_since ? unknown : viewOf(instanceState, instance.state)} />
        <span className="sub nowrap" style={{ paddingLeft: 21 }}>
          {observed_at ? (
            <>
              observed <Time at={observed_at} />
            </>
          ) : (
            "not observed yet"
          )}
        </span>
        {instance.restarts > 0 && (
          <span className="sub" style={{ paddingLeft: 21 }}>
            {instance.restarts === 1 ? "1 restart" : `${instance.restarts} restarts`}
          </span>
        )}
      </td>
      <td className="end num nowrap">
        {stats ? (
          <>
            {bytes(stats.memory_bytes)}
            <span className="sub">{cores(stats.cpu_millis)}</span>
          </>
        ) : (
          <span className="faint">–</span>
        )}
      </td>
    </tr>
  );
}
