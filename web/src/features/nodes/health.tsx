import { useQuery } from "@tanstack/react-query";
import { useCheckNode } from "@/api/mutations";
import { nodeHistoryQuery } from "@/api/queries";
import type { Node, NodeHealth, NodeTransition } from "@/api/types";
import { Button } from "@/components/button";
import { Card, Notice } from "@/components/page";
import { Rows } from "@/components/rows";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { useToast } from "@/components/toast";
import { nodeStatus, viewOf } from "@/lib/status";
import { sentence } from "@/lib/text";
import { duration } from "@/lib/time";

/** Why nobody is heard of this node; nothing while somebody is. */
export function Missing({ node }: { node: Node }) {
  const { missing_since, error } = node.health;
  if (!missing_since) return null;
  const gone = node.status === "offline" || node.status === "unreachable";
  return (
    <Notice
      tone={gone ? "bad" : "warn"}
      title={gone ? "The control plane does not hear from this node" : "No agent of this node is connected"}
    >
      <p>
        {error ? `${sentence(error)}. ` : ""}No agent of it has been connected for <Time at={missing_since} />
        . Its apps go on running as long as the host does. Look at its network and at{" "}
        <code>systemctl status 'wisehosting-*'</code>.
      </p>
    </Notice>
  );
}

/** `3 checks failed · next in 40 s`, for the list. */
export function CheckSummary({ health }: { health: NodeHealth }) {
  if (health.failures === 0) return null;
  return (
    <span className="sub nowrap" style={{ paddingLeft: 21 }}>
      {health.failures === 1 ? "1 check" : `${health.failures} checks`} failed
      {health.next_check_at && (
        <>
          , next <Time at={health.next_check_at} />
        </>
      )}
    </span>
  );
}

export function Health({ node }: { node: Node }) {
  const { health } = node;
  const toast = useToast();
  const check = useCheckNode();
  const ask = () =>
    check.mutate(node.name, {
      onSuccess: ({ health }) =>
        health.error
          ? toast.failed(`${node.name} does not answer`, new Error(health.error))
          : toast.done(`${node.name} answers`),
      onError: (error) => toast.failed(`${node.name} was not asked`, error),
    });
  return (
    <Card
      title="Health"
      actions={
        <Button small onClick={ask} busy={check.isPending}>
          Check now
        </Button>
      }
    >
      <dl className="facts">
        <dt>State</dt>
        <dd>
          <Status view={viewOf(nodeStatus, node.status)} at={node.status_since} />
        </dd>
        <dt>Failed checks</dt>
        <dd className="num">{health.failures === 0 ? "none" : `${health.failures} in a row`}</dd>
        <dt>Last check</dt>
        <dd>{health.checked_at ? <Time at={health.checked_at} /> : "not needed yet"}</dd>
        <dt>Next check</dt>
        <dd>{health.next_check_at ? <Time at={health.next_check_at} /> : "when no agent is connected"}</dd>
        {health.error && (
          <>
            <dt>Last error</dt>
            <dd>{health.error}</dd>
          </>
        )}
        {health.clock_offset_ms != null && (
          <>
            <dt>Clock</dt>
            <dd>
              {clock(health.clock_offset_ms)}
              {health.clock_measured_at && (
                <span className="faint">
                  {" "}
                  measured <Time at={health.clock_measured_at} />
                </span>
              )}
            </dd>
          </>
        )}
      </dl>
    </Card>
  );
}

/** What the network takes is part of what is measured, so a tenth of a second is none. */
export function clock(offsetMs: number): string {
  if (Math.abs(offsetMs) < 100) return "in step";
  return `${duration(Math.abs(offsetMs))} ${offsetMs < 0 ? "behind" : "ahead"}`;
}

export function History({ node }: { node: Node }) {
  const history = useQuery(nodeHistoryQuery(node.name));
  return (
    <Card title="History" text="When it went and came back, and why." flush>
      <Rows
        query={history}
        rows={history.data}
        skeleton={[90, 220]}
        empty={<p className="card-body small muted">It has been as it is for as long as is kept.</p>}
      >
        {(rows) => (
          <div className="table-wrap">
            <table className="table">
              <tbody>
                {rows.map((row) => (
                  <Row key={row.id} row={row} />
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Rows>
    </Card>
  );
}

function Row({ row }: { row: NodeTransition }) {
  return (
    <tr>
      <td>
        <Status view={viewOf(nodeStatus, row.to)} at={row.at} />
        <span className="sub" style={{ paddingLeft: 21 }}>
          {sentence(row.reason)}
        </span>
      </td>
    </tr>
  );
}
