import { Link } from "react-router";
import type { App, Instance } from "@/api/types";
import { Copy } from "@/components/copy";
import { Empty, TableSkeleton } from "@/components/page";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { instanceState, unknown, viewOf } from "@/lib/status";
import { sentence } from "@/lib/text";
import { RestartInstance } from "./renewal";
import { Unenforced, Use } from "./use";

export function InstanceTable({ app, instances }: { app: App; instances: Instance[] | undefined }) {
  if (!instances) return <TableSkeleton columns={[90, 90, 160, 60]} rows={2} />;
  if (instances.length === 0) {
    return <Empty icon="box" title="No instances" text="Instances appear as soon as a release starts." />;
  }
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>State</th>
            <th>Node</th>
            <th className="hide-small">Probe</th>
            <th>Use</th>
          </tr>
        </thead>
        <tbody>
          {serving(instances).map((instance) => (
            <InstanceRow key={instance.id} app={app} instance={instance} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Those that are wanted come first. */
function serving(instances: Instance[]) {
  return instances.toSorted((one, other) => Number(other.wanted) - Number(one.wanted));
}

function duty({ in_rotation, wanted, state }: Instance): string {
  if (in_rotation) return "gets requests";
  if (wanted) return "not in rotation";
  return state === "stopped" ? "no longer wanted" : "leaving";
}

/** How old what is shown is; of what is too old, since when nobody knows and what it was then. */
function Observation({ instance: { unknown_since, observed_at, state } }: { instance: Instance }) {
  if (unknown_since) {
    return (
      <>
        since <Time at={unknown_since} />, then {viewOf(instanceState, state).label.toLowerCase()}
      </>
    );
  }
  return observed_at ? (
    <>
      observed <Time at={observed_at} />
    </>
  ) : (
    "not observed yet"
  );
}

function InstanceRow({ app, instance }: { app: App; instance: Instance }) {
  return (
    <tr>
      <td>
        <Status view={instance.unknown_since ? unknown : viewOf(instanceState, instance.state)} />
        <span className="sub nowrap" style={{ paddingLeft: 21 }}>
          v{instance.release}, {duty(instance)}
        </span>
        <span className="sub nowrap" style={{ paddingLeft: 21 }}>
          <Observation instance={instance} />
        </span>
      </td>
      <td>
        <Link to={`/nodes/${instance.node.name}`}>{instance.node.name}</Link>
        <span className="sub nowrap">
          <code>{instance.id.slice(-8)}</code> <Copy text={instance.id} label="Copy instance id" />
          {instance.wanted && <Link to={`terminal?instance=${instance.id}`}>Terminal</Link>}
        </span>
      </td>
      <td className="hide-small">
        <Evidence instance={instance} />
      </td>
      <td>
        <Use instance={instance} />
        {instance.wanted && <Unenforced instance={instance} />}
        {instance.in_rotation && !app.stopped_at && <RestartInstance app={app} instance={instance} />}
      </td>
    </tr>
  );
}

function Evidence({ instance: { probe, failure, exit_code, restarts } }: { instance: Instance }) {
  return (
    <div className="evidence">
      {probe ? (
        <>
          <span>
            {probe.outcome}{" "}
            <span className="faint">
              · <Time at={probe.at} />
            </span>
          </span>
          <code className="truncate" title={probe.target}>
            {probe.target}
          </code>
        </>
      ) : (
        <span className="faint">Not probed yet</span>
      )}
      {failure && <span className="field-error">{sentence(failure.message)}</span>}
      {(restarts > 0 || exit_code != null) && (
        <span className="sub">
          {restarts > 0 && `${restarts} ${restarts === 1 ? "restart" : "restarts"} `}
          {exit_code != null && `exit code ${exit_code}`}
        </span>
      )}
    </div>
  );
}
