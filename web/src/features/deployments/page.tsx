import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate, useParams } from "react-router";
import { asApiError } from "@/api/errors";
import { useDeploy, useFront } from "@/api/mutations";
import { isAdmin, isFinal, sessionQuery } from "@/api/queries";
import type { Deployment } from "@/api/types";
import { Button, ButtonLink, ExternalButton } from "@/components/button";
import { CancelDialog } from "@/components/cancel";
import { CopyButton } from "@/components/copy";
import { Log } from "@/components/log";
import { Empty, ErrorNotice, Notice, PageHead, Skeleton, useTitle } from "@/components/page";
import { Badge, StatusMark } from "@/components/status";
import { Elapsed, Time } from "@/components/time";
import { useToast } from "@/components/toast";
import { bytes } from "@/lib/bytes";
import { cli } from "@/lib/cli";
import { describeSource, shortCommit } from "@/lib/source";
import { deploymentState, kindName, viewOf } from "@/lib/status";
import { FailureCard } from "./failure";
import { useDeployment } from "./follow";
import { RecipeCard } from "./recipe";
import { Stages } from "./stages";

export function Component() {
  const { id = "", app = "" } = useParams();
  const { query, lines, stream } = useDeployment(id);
  const deployment = query.data;
  useTitle(
    deployment ? `${app} #${deployment.number}` : app,
    deployment && viewOf(deploymentState, deployment.state).tone,
  );

  if (query.isError && asApiError(query.error).status === 404) {
    return (
      <div className="page">
        <Empty
          icon="rocket"
          title="There is no such deployment"
          text={`Look at the other deployments of ${app}.`}
          action={<ButtonLink to={`/apps/${app}/deployments`}>Deployments of {app}</ButtonLink>}
        />
      </div>
    );
  }
  const running = deployment !== undefined && !isFinal(deployment);
  return (
    <div className="page">
      {deployment ? (
        <Head deployment={deployment} />
      ) : (
        <PageHead title={<Skeleton width={260} />} text={<Skeleton width={320} />} />
      )}
      {query.isError && <ErrorNotice error={query.error} retry={query.refetch} />}
      {stream === "reconnecting" && running && (
        <Notice tone="warn" title="Connection lost, trying again">
          The deployment goes on; its log carries on where it stopped.
        </Notice>
      )}
      {deployment && <Outcome deployment={deployment} />}
      {deployment && (
        <section className="card" aria-label="Stages">
          <Stages deployment={deployment} />
        </section>
      )}
      {deployment?.recipe && <RecipeCard app={app} recipe={deployment.recipe} />}
      <div className="deployment-log">
        <Log
          name={`${app} deployment ${deployment?.number ?? ""}`}
          live={running}
          empty={
            running
              ? (deployment.waiting_for ?? "Waiting for the first line…")
              : "This deployment said nothing."
          }
          entries={lines.map((line) => ({
            id: String(line.seq),
            at: line.at,
            stream: line.stream,
            text: line.text,
          }))}
        />
      </div>
    </div>
  );
}

function Head({ deployment }: { deployment: Deployment }) {
  return (
    <PageHead
      title={
        <>
          Deployment #{deployment.number} <Badge view={viewOf(deploymentState, deployment.state)} />
        </>
      }
      text={
        <>
          {deployment.message && <p className="said">{deployment.message}</p>}
          {kindName[deployment.kind]} of <code>{describeSource(deployment.source)}</code> by{" "}
          {deployment.created_by}, <Time at={deployment.created_at} />
          {isFinal(deployment) ? " · took " : " · running for "}
          <Elapsed from={deployment.created_at} to={deployment.finished_at} />
          <About deployment={deployment} />
        </>
      }
      actions={<Actions deployment={deployment} />}
    />
  );
}

/** Why, from which release, and what of. */
function About({ deployment }: { deployment: Deployment }) {
  const { kind, release, from_release, commit, image_size_bytes } = deployment;
  const facts = [
    kind === "rollback" && from_release != null && `v${from_release} → v${release}`,
    commit && `commit ${shortCommit(commit)}`,
    image_size_bytes != null && image_size_bytes > 0 && `image ${bytes(image_size_bytes)}`,
  ].filter(Boolean);
  if (facts.length === 0) return null;
  return <span className="sub">{facts.join(" · ")}</span>;
}

function Actions({ deployment }: { deployment: Deployment }) {
  const [cancelling, setCancelling] = useState(false);
  const deploy = useDeploy(deployment.app.slug);
  const navigate = useNavigate();
  const toast = useToast();
  if (!isFinal(deployment)) {
    return (
      <>
        <Button kind="danger-quiet" icon="stop" onClick={() => setCancelling(true)}>
          Cancel
        </Button>
        {cancelling && <CancelDialog deployment={deployment} onClose={() => setCancelling(false)} />}
      </>
    );
  }
  const { source } = deployment;
  const again = () =>
    source &&
    deploy.mutate(source, {
      onSuccess: (next) => navigate(`/apps/${next.app.slug}/deployments/${next.id}`),
      onError: (error) => toast.failed("The deployment did not start", error),
    });
  return (
    <>
      {!deployment.failure && <CopyButton text={cli.again(deployment)}>Copy as CLI</CopyButton>}
      {deployment.state === "failed" && (
        <ButtonLink to={`/apps/${deployment.app.slug}#deploy`}>Deploy a fix</ButtonLink>
      )}
      {source && (
        <Button icon="rocket" busy={deploy.isPending} onClick={again}>
          {deployment.state === "failed" ? "Try again" : "Deploy again"}
        </Button>
      )}
    </>
  );
}

/** What came of it, said to assistive technology too. */
function Outcome({ deployment }: { deployment: Deployment }) {
  return (
    <div aria-live="polite" className="outcome">
      {deployment.state === "live" && (
        <section className="card live-banner">
          <StatusMark tone="ok" />
          <div>
            <h2>
              {deployment.app.slug} is live
              {deployment.release != null && ` with release v${deployment.release}`}
            </h2>
            <p className="small muted">{deployment.url}</p>
          </div>
          <ButtonLink to={`/apps/${deployment.app.slug}`}>To the app</ButtonLink>
          <ExternalButton kind="primary" href={deployment.url}>
            Open
          </ExternalButton>
        </section>
      )}
      {deployment.failure && <FailureCard deployment={deployment} failure={deployment.failure} />}
      {deployment.state === "cancelled" && (
        <Notice tone="idle" title="This deployment was cancelled">
          What ran before goes on serving.
        </Notice>
      )}
      {deployment.state === "superseded" && (
        <Notice
          tone="idle"
          title="A newer deployment took its place"
          action={
            <ButtonLink small to={`/apps/${deployment.app.slug}`}>
              To the app
            </ButtonLink>
          }
        />
      )}
      {deployment.state === "queued" && deployment.waiting_for && <Waiting deployment={deployment} />}
    </div>
  );
}

function Waiting({ deployment }: { deployment: Deployment }) {
  const { data: session } = useQuery(sessionQuery);
  const front = useFront();
  const toast = useToast();
  const place = deployment.queue_position;
  return (
    <Notice
      tone="busy"
      title={place ? `Waiting at place ${place} in the queue` : "Waiting"}
      action={
        place && (
          <>
            {place > 1 && isAdmin(session) && (
              <Button
                small
                busy={front.isPending}
                onClick={() =>
                  front.mutate(deployment.id, {
                    onError: (error) => toast.failed("The order did not change", error),
                  })
                }
              >
                To the front
              </Button>
            )}
            <ButtonLink small to="/queue">
              Queue
            </ButtonLink>
          </>
        )
      }
    >
      {deployment.waiting_for}
    </Notice>
  );
}
