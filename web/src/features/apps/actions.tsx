import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { useLocation, useNavigate } from "react-router";
import { useDeploy, useRollback } from "@/api/mutations";
import { deploymentsQuery, releasesQuery } from "@/api/queries";
import type { App, Deployment } from "@/api/types";
import { Button } from "@/components/button";
import { CopyButton } from "@/components/copy";
import { Dialog } from "@/components/dialog";
import { ErrorNotice } from "@/components/page";
import { Time } from "@/components/time";
import { cli } from "@/lib/cli";
import { describeSource } from "@/lib/source";

export function QuickActions({ app }: { app: App }) {
  const [open, setOpen] = useState<"redeploy" | "rollback">();
  const { hash, key } = useLocation();
  // biome-ignore lint/correctness/useExhaustiveDependencies: each arrival asks anew
  useEffect(() => {
    if (hash === "#redeploy") setOpen("redeploy");
  }, [hash, key]);
  if (!app.deployment) return null;
  const close = () => setOpen(undefined);
  return (
    <>
      {app.release && app.release.number > 1 && (
        <Button icon="rollback" onClick={() => setOpen("rollback")}>
          Roll back
        </Button>
      )}
      <Button icon="rocket" onClick={() => setOpen("redeploy")}>
        Redeploy
      </Button>
      {open === "redeploy" && <RedeployDialog app={app} onClose={close} />}
      {open === "rollback" && <RollbackDialog app={app} onClose={close} />}
    </>
  );
}

function useGoTo(app: App) {
  const navigate = useNavigate();
  return (deployment: Deployment) => navigate(`/apps/${app.slug}/deployments/${deployment.id}`);
}

function RedeployDialog({ app, onClose }: { app: App; onClose: () => void }) {
  const deployments = useInfiniteQuery(deploymentsQuery(app.slug));
  const deploy = useDeploy(app.slug);
  const goTo = useGoTo(app);
  const source = deployments.data?.pages
    .flatMap((page) => page.items)
    .find((deployment) => deployment.source)?.source;
  const confirm = () => source && deploy.mutate(source, { onSuccess: goTo });
  return (
    <Dialog
      title={`Redeploy ${app.slug}`}
      onClose={onClose}
      onSubmit={confirm}
      footer={
        <>
          <CopyButton text={cli.deploy(app.slug, source)}>Copy as CLI</CopyButton>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={deploy.isPending} disabled={!source}>
            Redeploy
          </Button>
        </>
      }
    >
      <p className="muted">
        Builds the latest source again, with the settings and variables of now. The running instances serve
        until the new ones answer.
      </p>
      {source && (
        <dl className="facts">
          <dt>Source</dt>
          <dd>
            <code>{describeSource(source)}</code>
          </dd>
        </dl>
      )}
      {deployments.isSuccess && !source && <p>There is no source to build again; deploy a new one.</p>}
      {deploy.isError && <ErrorNotice error={deploy.error} />}
    </Dialog>
  );
}

function RollbackDialog({ app, onClose }: { app: App; onClose: () => void }) {
  const releases = useInfiniteQuery(releasesQuery(app.slug));
  const rollback = useRollback(app.slug);
  const goTo = useGoTo(app);
  const current = app.release?.number ?? 0;
  const choices = (releases.data?.pages.flatMap((page) => page.items) ?? []).filter(
    (release) => release.number !== current,
  );
  const [chosen, setChosen] = useState<number>();
  const target = chosen ?? choices.find((release) => release.number < current)?.number;
  return (
    <Dialog
      title={`Roll back ${app.slug}`}
      onClose={onClose}
      onSubmit={() => rollback.mutate(target, { onSuccess: goTo })}
      footer={
        <>
          <CopyButton text={cli.rollback(app.slug, target)}>Copy as CLI</CopyButton>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={rollback.isPending} disabled={target === undefined}>
            {target === undefined ? "Roll back" : `Roll back to v${target}`}
          </Button>
        </>
      }
    >
      <p className="muted">
        Starts the image and the configuration of an earlier release. Nothing is built, so it takes seconds.
        Now live: <b>v{current}</b>.
      </p>
      <div className="field">
        <label htmlFor="release">Release</label>
        <select
          id="release"
          className="select"
          value={target ?? ""}
          onChange={(event) => setChosen(Number(event.target.value))}
        >
          {choices.map((release) => (
            <option key={release.id} value={release.number}>
              v{release.number} – {describeSource(release.source)}
            </option>
          ))}
        </select>
      </div>
      {choices
        .filter((release) => release.number === target)
        .map((release) => (
          <p className="small muted" key={release.id}>
            Made <Time at={release.created_at} />
          </p>
        ))}
      {releases.isSuccess && choices.length === 0 && <p>There is no earlier release.</p>}
      {rollback.isError && <ErrorNotice error={rollback.error} />}
    </Dialog>
  );
}
