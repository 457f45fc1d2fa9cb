import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { type NodeHealing, nodeHealingQuery, type WaitingInstance } from "@/api/nodes";
import type { Node } from "@/api/types";
import { Card } from "@/components/page";
import { Time } from "@/components/time";
import { Words } from "@/components/words";
import { sentence } from "@/lib/text";

/** What follows from the node's absence: nothing while nothing does. */
export function Healing({ node }: { node: Node }) {
  const { data: healing } = useQuery(nodeHealingQuery(node.name));
  if (!healing || !follows(healing)) return null;
  return (
    <Card title="While it is gone" text="What the others do about it by themselves.">
      <dl className="facts">
        <GivenUp healing={healing} />
        {healing.reached && (
          <>
            <dt>Reached</dt>
            <dd>by a proxy: what runs there serves, and stays</dd>
          </>
        )}
        {!healing.routed && (
          <>
            <dt>Requests</dt>
            <dd>are led elsewhere: no proxy reaches it</dd>
          </>
        )}
        {healing.lease_renewed_at && (
          <>
            <dt>Lease</dt>
            <dd>
              of exclusive apps, renewed <Time at={healing.lease_renewed_at} />
            </dd>
          </>
        )}
        {healing.waiting.map((waiting) => (
          <Waiting key={waiting.instance} waiting={waiting} />
        ))}
        {healing.others > 0 && (
          <>
            <dt>Others</dt>
            <dd className="num">{healing.others} instances of other organizations</dd>
          </>
        )}
      </dl>
    </Card>
  );
}

function follows(healing: NodeHealing): boolean {
  const { given_up_at, reached, routed, waiting, others } = healing;
  return given_up_at != null || reached || !routed || waiting.length > 0 || others > 0;
}

function GivenUp({ healing }: { healing: NodeHealing }) {
  if (!healing.given_up_at) return null;
  const passed = Date.parse(healing.given_up_at) <= Date.now();
  return (
    <>
      <dt>Given up</dt>
      <dd>
        <Time at={healing.given_up_at} />: its instances {passed ? "are" : "will be"} placed elsewhere
        {healing.gone_before > 0 && (
          <span className="sub">
            It was gone {healing.gone_before === 1 ? "once" : `${healing.gone_before} times`} lately, so it is
            waited for longer.
          </span>
        )}
      </dd>
    </>
  );
}

function Waiting({ waiting }: { waiting: WaitingInstance }) {
  const { app, deployment, problem } = waiting;
  return (
    <>
      <dt>
        <Link to={`/apps/${app}`}>{app}</Link>
      </dt>
      <dd>
        {deployment != null ? (
          `Deployment #${deployment} places it elsewhere.`
        ) : problem ? (
          <Words text={`${sentence(problem)}.`} />
        ) : (
          "It is about to be placed elsewhere."
        )}
      </dd>
    </>
  );
}
