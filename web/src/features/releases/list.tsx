import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate, useOutletContext } from "react-router";
import { useRollback } from "@/api/mutations";
import { releasesQuery } from "@/api/queries";
import type { App, Release, ReleaseOrigin } from "@/api/types";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Copy } from "@/components/copy";
import { TextField } from "@/components/field";
import { Card, Empty, MoreButton } from "@/components/page";
import { Rows } from "@/components/rows";
import { Badge } from "@/components/status";
import { Time } from "@/components/time";
import { bytes } from "@/lib/bytes";
import { cli } from "@/lib/cli";
import { describeSource, shortCommit } from "@/lib/source";
import { duration } from "@/lib/time";
import { CompareDialog, Comparison } from "./compare";

export function Component() {
  const app = useOutletContext<App>();
  const query = useInfiniteQuery(releasesQuery(app.slug));
  const [target, setTarget] = useState<Release>();
  const [compared, setCompared] = useState<Release>();
  const releases = query.data?.pages.flatMap((page) => page.items);
  return (
    <Card flush>
      <Rows
        query={query}
        rows={releases}
        skeleton={[50, 220, 90, 90]}
        empty={
          <Empty
            icon="box"
            title="No releases yet"
            text="A release is an image with its configuration; each can be brought back in seconds."
          />
        }
      >
        {(releases) => (
          <ReleaseTable app={app} releases={releases} onRollback={setTarget} onCompare={setCompared} />
        )}
      </Rows>
      <MoreButton query={query} />
      {releases && compared && (
        <CompareDialog
          app={app}
          releases={releases}
          first={compared}
          onClose={() => setCompared(undefined)}
        />
      )}
      {target && <RollbackDialog app={app} release={target} onClose={() => setTarget(undefined)} />}
    </Card>
  );
}

function ReleaseTable({
  app,
  releases,
  onRollback,
  onCompare,
}: {
  app: App;
  releases: Release[];
  onRollback: (release: Release) => void;
  onCompare: (release: Release) => void;
}) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>Release</th>
            <th className="hide-small">Source</th>
            <th className="hide-small">Image</th>
            <th>Made</th>
            <th className="end">
              <span className="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {releases.map((release) => (
            <tr key={release.id}>
              <td className="nowrap">
                <span className="row">
                  <b className="num">v{release.number}</b>
                  {release.current && <Badge view={{ tone: "ok", label: "Live" }} />}
                </span>
                {release.rolled_back_from != null && (
                  <span className="sub">rollback from v{release.rolled_back_from}</span>
                )}
              </td>
              <td className="hide-small" style={{ maxWidth: 300 }}>
                <span className="truncate">{describeSource(release.source)}</span>
                {release.commit && (
                  <span className="sub">
                    commit <code>{shortCommit(release.commit)}</code>{" "}
                    <Copy text={release.commit} label="Copy commit" />
                  </span>
                )}
              </td>
              <td className="hide-small">
                <span className="row">
                  <code className="faint">{release.image.id.replace("sha256:", "").slice(0, 12)}</code>
                  <Copy text={release.image.id} label="Copy image id" />
                </span>
                <span className="sub num">{bytes(release.image.size_bytes)}</span>
              </td>
              <td>
                <Time at={release.created_at} />
                {release.origin && <Made origin={release.origin} />}
                {release.deployment_id && (
                  <span className="sub">
                    <Link className="link" to={`/apps/${app.slug}/deployments/${release.deployment_id}`}>
                      Deployment
                    </Link>
                  </span>
                )}
              </td>
              <td className="end">
                {releases.length > 1 && (
                  <Button
                    small
                    kind="ghost"
                    onClick={() => onCompare(release)}
                    aria-label={`Compare v${release.number}`}
                  >
                    Compare
                  </Button>
                )}
                {!release.current && !release.kept && <Unavailable release={release} />}
                {!release.current && release.kept && (
                  <Button
                    small
                    icon="rollback"
                    onClick={() => onRollback(release)}
                    aria-label={`Roll back to v${release.number}`}
                  >
                    Roll back
                  </Button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Who asked for it, why, and how long it took. */
function Made({ origin }: { origin: ReleaseOrigin }) {
  const took = origin.duration_ms != null && ` · took ${duration(origin.duration_ms)}`;
  return (
    <>
      <span className="sub">
        by {origin.created_by}
        {took}
      </span>
      {origin.message && (
        <span className="sub truncate" style={{ maxWidth: 280 }} title={origin.message}>
          {origin.message}
        </span>
      )}
    </>
  );
}

/** In the place of the button: why there is no way back, and what helps. */
function Unavailable({ release }: { release: Release }) {
  const remedy = release.commit
    ? `Deploy commit ${shortCommit(release.commit)} again to bring it back.`
    : "Deploy its source again to bring it back.";
  return (
    <span className="small faint" title={`Older images are removed from the nodes. ${remedy}`}>
      Image not kept
      <span className="sub">{remedy}</span>
    </span>
  );
}

function RollbackDialog({ app, release, onClose }: { app: App; release: Release; onClose: () => void }) {
  const [reason, setReason] = useState("");
  const rollback = useRollback(app.slug, reason.trim());
  const navigate = useNavigate();
  const confirm = () =>
    rollback.mutate(release.number, {
      onSuccess: (deployment) => navigate(`/apps/${app.slug}/deployments/${deployment.id}`),
    });
  return (
    <Confirm
      title={`Roll back to v${release.number}?`}
      verb="Roll back"
      command={cli.rollback(app.slug, release.number)}
      change={rollback}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p className="muted">
        Starts v{release.number} again with the settings and variables that it had; nothing is built. The
        running instances serve until the new ones answer.
      </p>
      {app.release && <Comparison app={app} before={app.release.number} after={release.number} />}
      <TextField label="Reason" optional maxLength={500} value={reason} onChange={setReason} />
    </Confirm>
  );
}
