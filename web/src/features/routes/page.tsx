import { useQuery } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import { Link } from "react-router";
import { nodesQuery } from "@/api/queries";
import { type RouteConsumer, type RouteTable, type RouteView, routesQuery } from "@/api/routes";
import { Field, TextField } from "@/components/field";
import { Card, Empty, PageHead, useTitle } from "@/components/page";
import { Rows } from "@/components/rows";
import { Status } from "@/components/status";
import { Time } from "@/components/time";

export function Component() {
  useTitle("Routes");
  const [worker, setWorker] = useState("");
  const [typed, setTyped] = useState("");
  const search = useDeferredValue(typed.trim());
  const table = useQuery(routesQuery(worker || undefined, search));
  return (
    <div className="page">
      <PageHead title="Route table" text="Which host leads where, and who has the newest table in force." />
      <Consumers query={table} table={table.data} />
      <Card
        title="Routes"
        text={table.data && shown(table.data, search)}
        flush
        actions={<Choice worker={worker} onWorker={setWorker} typed={typed} onTyped={setTyped} />}
      >
        <Rows
          query={table}
          rows={table.data?.routes}
          skeleton={[220, 90, 160]}
          empty={
            <Empty
              icon="overview"
              title={search ? "Nothing found" : "No routes"}
              text={
                search
                  ? "No host and no app has this in its name."
                  : "An app has its route once something of it serves."
              }
              command="wh routes"
            />
          }
        >
          {(routes) => <RoutesTable routes={routes} />}
        </Rows>
      </Card>
    </div>
  );
}

function shown({ routes, total, generation }: RouteTable, search: string) {
  const count = routes.length === total || search ? `${routes.length}` : `The first ${routes.length}`;
  return `Generation ${generation}: ${count} of ${total}.`;
}

interface ChoiceProps {
  worker: string;
  onWorker: (worker: string) => void;
  typed: string;
  onTyped: (typed: string) => void;
}

function Choice({ worker, onWorker, typed, onTyped }: ChoiceProps) {
  const nodes = useQuery(nodesQuery);
  const workers = (nodes.data ?? []).filter((node) => node.roles.includes("worker"));
  return (
    <>
      <Field label="Table">
        {(control) => (
          <select
            className="select"
            value={worker}
            onChange={(event) => onWorker(event.target.value)}
            {...control}
          >
            <option value="">Proxies</option>
            {workers.map((node) => (
              <option key={node.id} value={node.name}>
                Direct zones of {node.name}
              </option>
            ))}
          </select>
        )}
      </Field>
      <TextField label="Search" type="search" placeholder="host or app" value={typed} onChange={onTyped} />
    </>
  );
}

function Consumers({
  query,
  table,
}: {
  query: { isError: boolean; error: unknown; refetch: () => unknown };
  table: RouteTable | undefined;
}) {
  return (
    <Card title="Served by" flush>
      <Rows
        query={query}
        rows={table?.consumers}
        skeleton={[140, 110, 90]}
        empty={
          <Empty
            icon="nodes"
            title="No proxy yet"
            text="Hosts with the role proxy serve the routes."
            command="wh node token create --role proxy"
          />
        }
      >
        {(consumers) => (
          <div className="table-wrap">
            <table className="table">
              <thead>
                <tr>
                  <th>Host</th>
                  <th>Table</th>
                  <th className="end">Generation</th>
                  <th className="hide-small">Since</th>
                </tr>
              </thead>
              <tbody>
                {consumers.map((consumer) => (
                  <tr key={`${consumer.kind} ${consumer.node}`}>
                    <td>
                      <Link className="row-link" to={`/nodes/${consumer.node}`}>
                        {consumer.node}
                      </Link>
                      <span className="sub">{consumer.kind}</span>
                    </td>
                    <td>
                      <Status view={stateOf(consumer, table?.generation ?? 0)} />
                    </td>
                    <td className="end num">{consumer.applied_generation}</td>
                    <td className="hide-small">
                      {consumer.applied_at ? (
                        <Time at={consumer.applied_at} />
                      ) : (
                        <span className="faint">–</span>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Rows>
    </Card>
  );
}

function stateOf(consumer: RouteConsumer, newest: number) {
  if (!consumer.connected) return { tone: "idle", label: "Not connected" } as const;
  if (consumer.applied_generation < newest) return { tone: "busy", label: "Not acknowledged yet" } as const;
  return { tone: "ok", label: "In force" } as const;
}

function RoutesTable({ routes }: { routes: RouteView[] }) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>Host and path</th>
            <th>App</th>
            <th>Leads to</th>
            <th className="hide-small">Options</th>
          </tr>
        </thead>
        <tbody>
          {routes.map((route) => (
            <tr key={route.id}>
              <td>
                {route.hosts.map((host) => (
                  <code className="sub" key={host}>
                    {host}
                    {route.path === "/" ? "" : route.path}
                  </code>
                ))}
              </td>
              <td>{route.app}</td>
              <td>
                {route.upstreams.map((upstream) => (
                  <code className="sub" key={upstream}>
                    {upstream}
                  </code>
                ))}
                {route.upstreams.length === 0 && (
                  <span className="faint">{route.unavailable ?? "nothing"}</span>
                )}
              </td>
              <td className="hide-small">
                {[...(route.https_only ? ["https"] : []), ...route.options].join(", ") || (
                  <span className="faint">–</span>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
