import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useOutletContext } from "react-router";
import { deploymentsQuery } from "@/api/queries";
import type { App, Deployment } from "@/api/types";
import { ButtonLink } from "@/components/button";
import { Card, Empty, MoreButton } from "@/components/page";
import { Rows } from "@/components/rows";
import { Status } from "@/components/status";
import { Elapsed, Time } from "@/components/time";
import { cli } from "@/lib/cli";
import { describeSource } from "@/lib/source";
import { deploymentState, kindName, stageName, viewOf } from "@/lib/status";

export function Component() {
  const app = useOutletContext<App>();
  const query = useInfiniteQuery(deploymentsQuery(app.slug));
  const deployments = query.data?.pages.flatMap((page) => page.items);
  return (
    <Card flush>
      <Rows
        query={query}
        rows={deployments}
        skeleton={[40, 90, 220, 70, 80]}
        empty={
          <Empty
            icon="rocket"
            title="No deployments yet"
            text="Each attempt to bring a new release live is kept here, with its log."
            action={
              <ButtonLink kind="primary" icon="rocket" to={`/apps/new?app=${app.slug}`}>
                Deploy {app.slug}
              </ButtonLink>
            }
            command={cli.deploy(app.slug, undefined)}
          />
        }
      >
        {(deployments) => <DeploymentTable app={app} deployments={deployments} />}
      </Rows>
      <MoreButton query={query} />
    </Card>
  );
}

function DeploymentTable({ app, deployments }: { app: App; deployments: Deployment[] }) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>#</th>
            <th>State</th>
            <th className="hide-small">What</th>
            <th className="hide-small">Release</th>
            <th className="hide-small">Took</th>
            <th>Started</th>
          </tr>
        </thead>
        <tbody>
          {deployments.map((deployment) => (
            <tr key={deployment.id} className="linked">
              <td>
                <Link className="row-link num" to={`/apps/${app.slug}/deployments/${deployment.id}`}>
                  {deployment.number}
                </Link>
              </td>
              <td>
                <Status view={viewOf(deploymentState, deployment.state)} />
                {deployment.failure && (
                  <span className="sub">in {stageName[deployment.failure.stage].toLowerCase()}</span>
                )}
              </td>
              <td className="hide-small" style={{ maxWidth: 320 }}>
                <span className="truncate">{deployment.message || kindName[deployment.kind]}</span>
                <span className="sub truncate">
                  {deployment.message && `${kindName[deployment.kind]} · `}
                  {describeSource(deployment.source)}
                </span>
              </td>
              <td className="hide-small num">
                {deployment.release == null ? <span className="faint">–</span> : `v${deployment.release}`}
                {deployment.kind === "rollback" && deployment.from_release != null && (
                  <span className="sub">from v{deployment.from_release}</span>
                )}
              </td>
              <td className="hide-small">
                <Elapsed from={deployment.created_at} to={deployment.finished_at} />
              </td>
              <td>
                <Time at={deployment.created_at} />
                <span className="sub">by {deployment.created_by}</span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
