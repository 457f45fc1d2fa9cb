import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useOutletContext } from "react-router";
import { deploymentsQuery, instancesQuery } from "@/api/queries";
import type { App, Deployment } from "@/api/types";
import { ButtonLink } from "@/components/button";
import { Card, Empty, ErrorNotice, Notice, Skeleton } from "@/components/page";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { Words } from "@/components/words";
import { cores } from "@/lib/bytes";
import { cli } from "@/lib/cli";
import { describeSource } from "@/lib/source";
import { certificateState, deploymentState, viewOf } from "@/lib/status";
import { sentence } from "@/lib/text";
import { exact } from "@/lib/time";
import { describeBuild } from "./build";
import { Ended } from "./ended";
import { describeProbe } from "./form";
import { InstanceTable } from "./instances";

export function Component() {
  const app = useOutletContext<App>();
  if (!app.deployment) return <NotDeployed app={app} />;
  return (
    <>
      <LastFailure app={app} />
      <Ended app={app} />
      <Waits app={app} />
      <Summary app={app} />
      <div className="columns">
        <Instances app={app} />
        <div className="stack loose">
          <LatestDeployments app={app} />
          <Certificate app={app} />
          <Configuration app={app} />
        </div>
      </div>
    </>
  );
}

function NotDeployed({ app }: { app: App }) {
  return (
    <Card>
      <Empty
        icon="rocket"
        title="Nothing is deployed yet"
        text={`Once it is, ${app.slug} answers at ${app.hostname}.`}
        action={
          <ButtonLink kind="primary" icon="rocket" to={`/apps/new?app=${app.slug}`}>
            Deploy {app.slug}
          </ButtonLink>
        }
        command={cli.deploy(app.slug, undefined)}
      />
    </Card>
  );
}

/** The latest attempt failed: said at the top, with what still serves. */
function LastFailure({ app }: { app: App }) {
  if (app.deployment?.state !== "failed") return null;
  return (
    <Notice
      tone="bad"
      title={`Deployment #${app.deployment.number} failed`}
      action={
        <ButtonLink small to={`/apps/${app.slug}/deployments/${app.deployment.id}`}>
          See why
        </ButtonLink>
      }
    >
      {app.release ? `Release v${app.release.number} goes on serving.` : "No release is live."}
    </Notice>
  );
}

/** An instance has a node that is gone, and can be nowhere else. */
function Waits({ app }: { app: App }) {
  if (!app.waits_for) return null;
  const { node, why } = app.waits_for;
  return (
    <Notice
      tone="warn"
      title={`An instance waits for ${node}`}
      action={
        <ButtonLink small to={`/nodes/${node}`}>
          Look at {node}
        </ButtonLink>
      }
    >
      <Words text={`${sentence(why)}.`} />
    </Notice>
  );
}

function Summary({ app }: { app: App }) {
  const { release, instances, settings } = app;
  return (
    <section className="card">
      <dl className="summary">
        <div>
          <dt>Release</dt>
          <dd>{release ? `v${release.number}` : "None live"}</dd>
          {release && (
            <dd className="sub">
              made <Time at={release.created_at} />
            </dd>
          )}
        </div>
        <div>
          <dt>Healthy instances</dt>
          <dd className="num">
            {instances.healthy} of {instances.wanted}
          </dd>
          {instances.unknown_since ? (
            <dd className="sub">
              {instances.unknown} unknown since <Time at={instances.unknown_since} />
            </dd>
          ) : (
            instances.observed_at && (
              <dd className="sub">
                observed <Time at={instances.observed_at} />
              </dd>
            )
          )}
        </div>
        <div>
          <dt>Each may use</dt>
          <dd className="num">
            {settings.resources.memory_mb} MiB · {cores(settings.resources.cpu_millis)}
          </dd>
          <dd className="sub">{settings.resources.pids} processes</dd>
        </div>
        <div>
          <dt>Probe</dt>
          <dd className="truncate">{describeProbe(settings.probe)}</dd>
          <dd className="sub">every {settings.probe.interval_s} s</dd>
        </div>
      </dl>
    </section>
  );
}

function Instances({ app }: { app: App }) {
  const instances = useQuery(instancesQuery(app.slug));
  return (
    <Card title="Instances" text="What the nodes see, probed from outside the container." flush>
      {instances.isError && (
        <div className="card-body">
          <ErrorNotice error={instances.error} retry={instances.refetch} />
        </div>
      )}
      <InstanceTable app={app} instances={instances.data} />
    </Card>
  );
}

const LATEST = 5;

function LatestDeployments({ app }: { app: App }) {
  const { data } = useInfiniteQuery(deploymentsQuery(app.slug));
  const latest = data?.pages[0]?.items.slice(0, LATEST);
  return (
    <Card
      title="Latest deployments"
      flush
      actions={
        <Link className="small muted" to={`/apps/${app.slug}/deployments`}>
          All
        </Link>
      }
    >
      <table className="table">
        <tbody>
          {latest?.map((deployment) => (
            <DeploymentRow key={deployment.id} app={app} deployment={deployment} />
          )) ?? (
            <tr>
              <td>
                <Skeleton width={200} />
              </td>
            </tr>
          )}
        </tbody>
      </table>
    </Card>
  );
}

function DeploymentRow({ app, deployment }: { app: App; deployment: Deployment }) {
  return (
    <tr className="linked">
      <td style={{ maxWidth: 0, width: "100%" }}>
        <Link className="row-link num" to={`/apps/${app.slug}/deployments/${deployment.id}`}>
          #{deployment.number}
        </Link>
        <span className="sub truncate">{deployment.message || describeSource(deployment.source)}</span>
      </td>
      <td className="end">
        <Status view={viewOf(deploymentState, deployment.state)} />
        <span className="sub">
          <Time at={deployment.finished_at ?? deployment.created_at} />
        </span>
      </td>
    </tr>
  );
}

function Certificate({ app: { certificate, hostname, release } }: { app: App }) {
  return (
    <Card title="Certificate" actions={<Status view={viewOf(certificateState, certificate.state)} />}>
      <dl className="facts">
        <dt>Name</dt>
        <dd>{release ? <Link to={`/certificates/${hostname}`}>{hostname}</Link> : hostname}</dd>
        {certificate.issuer && (
          <>
            <dt>Issuer</dt>
            <dd>{certificate.issuer}</dd>
          </>
        )}
        {certificate.not_after && (
          <>
            <dt>Ends</dt>
            <dd>
              <span title={exact(certificate.not_after)}>
                <Time at={certificate.not_after} />
              </span>
              <span className="faint">, renewed before</span>
            </dd>
          </>
        )}
      </dl>
      {certificate.state === "none" && (
        <p className="small faint">
          {release ? "The app is served over plain HTTP." : "Ordered with the first live release."}
        </p>
      )}
      {certificate.state === "elsewhere" && (
        <p className="small faint">Traefik orders and renews it: its log has the details.</p>
      )}
      {certificate.error && <p className="field-error">{certificate.error}</p>}
    </Card>
  );
}

function Configuration({ app }: { app: App }) {
  return (
    <Card
      title="Configuration"
      actions={
        <Link className="small muted" to={`/apps/${app.slug}/settings`}>
          Change
        </Link>
      }
    >
      <dl className="facts">
        <dt>Project</dt>
        <dd>{app.project.slug}</dd>
        <dt>Build</dt>
        <dd>{describeBuild(app.settings.containerfile)}</dd>
        <dt>Port</dt>
        <dd className="num">{app.settings.port ?? "as the image says"}</dd>
        {app.settings.command && app.settings.command.length > 0 && (
          <>
            <dt>Command</dt>
            <dd>
              <code>{app.settings.command.join(" ")}</code>
            </dd>
          </>
        )}
        <dt>Created</dt>
        <dd>
          <Time at={app.created_at} />
        </dd>
      </dl>
    </Card>
  );
}
