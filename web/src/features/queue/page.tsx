import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { useFront } from "@/api/mutations";
import { isAdmin, queueQuery, sessionQuery } from "@/api/queries";
import type { QueuedBuild } from "@/api/types";
import { Button } from "@/components/button";
import { CancelDialog } from "@/components/cancel";
import { Card, Empty, PageHead, useTitle } from "@/components/page";
import { Rows } from "@/components/rows";
import { Status } from "@/components/status";
import { Elapsed } from "@/components/time";
import { useToast } from "@/components/toast";
import { cli } from "@/lib/cli";
import { kindName, queuedState, viewOf } from "@/lib/status";

export function Component() {
  const queue = useQuery(queueQuery);
  const builds = queue.data;
  useTitle("Queue", builds?.length ? "busy" : undefined);
  const [cancelling, setCancelling] = useState<QueuedBuild>();
  return (
    <div className="page">
      <PageHead title="Queue" text="Builds that run, and those that wait for a build slot of a worker." />
      <Card flush>
        <Rows
          query={queue}
          rows={builds}
          skeleton={[40, 160, 110, 90, 220]}
          empty={
            <Empty
              icon="clock"
              title="Nothing waits"
              text="A deployment that builds is shown here until its image is made."
              command={cli.queue()}
            />
          }
        >
          {(builds) => <QueueTable builds={builds} onCancel={setCancelling} />}
        </Rows>
      </Card>
      {cancelling && (
        <CancelDialog deployment={cancelling.deployment} onClose={() => setCancelling(undefined)} />
      )}
    </div>
  );
}

function QueueTable({ builds, onCancel }: { builds: QueuedBuild[]; onCancel: (build: QueuedBuild) => void }) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th className="end">Place</th>
            <th>Deployment</th>
            <th>State</th>
            <th className="hide-small">Worker or reason</th>
            <th className="end">
              <span className="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {builds.map((build) => (
            <tr key={build.id}>
              <td className="end num">{build.position ?? <span className="faint">–</span>}</td>
              <td>
                <Link className="row-link" to={`/apps/${build.app.slug}/deployments/${build.deployment.id}`}>
                  {build.app.slug} #{build.deployment.number}
                </Link>
                <span className="sub">
                  {kindName[build.deployment.kind]} by {build.created_by}
                </span>
              </td>
              <td>
                <Status
                  view={
                    build.cancelling
                      ? { tone: "busy", label: "Cancelling" }
                      : viewOf(queuedState, build.state)
                  }
                />
                <span className="sub nowrap">
                  for <Elapsed from={build.since} />
                </span>
              </td>
              <td className="hide-small">
                {build.node ? <Link to={`/nodes/${build.node}`}>{build.node}</Link> : build.reason}
              </td>
              <td className="end">
                <div className="row">
                  <Front build={build} />
                  {!build.cancelling && (
                    <Button
                      small
                      kind="danger-quiet"
                      onClick={() => onCancel(build)}
                      aria-label={`Cancel ${build.app.slug} #${build.deployment.number}`}
                    >
                      Cancel
                    </Button>
                  )}
                </div>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Front({ build }: { build: QueuedBuild }) {
  const { data: session } = useQuery(sessionQuery);
  const front = useFront();
  const toast = useToast();
  if (!build.position || build.position === 1 || !isAdmin(session)) return null;
  return (
    <Button
      small
      busy={front.isPending}
      onClick={() =>
        front.mutate(build.deployment.id, {
          onError: (error) => toast.failed("The order did not change", error),
        })
      }
      aria-label={`Move ${build.app.slug} #${build.deployment.number} to the front`}
    >
      To the front
    </Button>
  );
}
