import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { useLocation, useNavigate } from "react-router";
import { useRollback } from "@/api/mutations";
import { releasesQuery } from "@/api/queries";
import type { App, Deployment } from "@/api/types";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Time } from "@/components/time";
import { cli } from "@/lib/cli";
import { describeSource } from "@/lib/source";
import { DeployDialog } from "./deploy";

export function QuickActions({ app }: { app: App }) {
  const [open, setOpen] = useState<"deploy" | "rollback">();
  const { hash, key } = useLocation();
  // biome-ignore lint/correctness/useExhaustiveDependencies: each arrival asks anew
  useEffect(() => {
    if (hash === "#deploy") setOpen("deploy");
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
      <Button icon="rocket" onClick={() => setOpen("deploy")}>
        Deploy
      </Button>
      {open === "deploy" && <DeployDialog app={app} onClose={close} />}
      {open === "rollback" && <RollbackDialog app={app} onClose={close} />}
    </>
  );
}

function RollbackDialog({ app, onClose }: { app: App; onClose: () => void }) {
  const releases = useInfiniteQuery(releasesQuery(app.slug));
  const rollback = useRollback(app.slug);
  const navigate = useNavigate();
  const goTo = (deployment: Deployment) => navigate(`/apps/${app.slug}/deployments/${deployment.id}`);
  const current = app.release?.number ?? 0;
  const choices = (releases.data?.pages.flatMap((page) => page.items) ?? []).filter(
    (release) => release.number !== current,
  );
  const [chosen, setChosen] = useState<number>();
  const target = chosen ?? choices.find((release) => release.number < current)?.number;
  return (
    <Confirm
      title={`Roll back ${app.slug}`}
      verb={target === undefined ? "Roll back" : `Roll back to v${target}`}
      command={cli.rollback(app.slug, target)}
      change={rollback}
      disabled={target === undefined}
      onConfirm={() => rollback.mutate(target, { onSuccess: goTo })}
      onClose={onClose}
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
    </Confirm>
  );
}
