import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Cleanup, cleanupsQuery, type NodeStorage, nodeStorageQuery } from "@/api/nodes";
import type { Node } from "@/api/types";
import { Button } from "@/components/button";
import { Card, ErrorNotice, Skeleton } from "@/components/page";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { bytes } from "@/lib/bytes";
import { share } from "@/lib/number";
import type { StatusView, Tone } from "@/lib/status";
import { sentence } from "@/lib/text";
import { CleanupDialog } from "./cleanup";
import { ImageFacts } from "./images";

/** What lies on a worker besides its instances, and what of it can go. */
export function Storage({ node }: { node: Node }) {
  const worker = node.roles.includes("worker");
  const { data, error, refetch } = useQuery({ ...nodeStorageQuery(node.name), enabled: worker });
  const cleanups = useQuery({ ...cleanupsQuery(node.name), enabled: worker });
  const [cleaning, setCleaning] = useState(false);
  if (!worker) return null;
  return (
    <Card
      title="Storage"
      actions={
        <Button small icon="trash" onClick={() => setCleaning(true)}>
          Clean up…
        </Button>
      }
    >
      <div className="stack">
        {error && <ErrorNotice error={error} retry={refetch} />}
        {!data && !error && <Skeleton width={200} />}
        {data && <Facts storage={data} />}
        {data && data.volumes.length > 0 && <Volumes storage={data} />}
        {cleanups.data && cleanups.data.length > 0 && <Cleanups cleanups={cleanups.data} />}
      </div>
      {cleaning && <CleanupDialog name={node.name} onClose={() => setCleaning(false)} />}
    </Card>
  );
}

function Facts({ storage: { disk, images, volumes, volume_count, measured_at } }: { storage: NodeStorage }) {
  const size = volumes.reduce((sum, volume) => sum + volume.size_bytes, 0);
  return (
    <dl className="facts">
      {disk && (
        <>
          <dt>Its disk</dt>
          <dd className="num">
            {share(disk.used_bytes, disk.total_bytes)}
            <span className="sub">
              {bytes(disk.used_bytes)} of {bytes(disk.total_bytes)}
            </span>
          </dd>
        </>
      )}
      {images && <ImageFacts images={images} />}
      <dt>Volumes</dt>
      <dd className="num">
        {volume_count} · {bytes(size)}
        <span className="sub">
          {measured_at ? (
            <>
              measured <Time at={measured_at} />
            </>
          ) : (
            "not measured yet"
          )}
        </span>
      </dd>
    </dl>
  );
}

/** Volumes that are shown at once. */
const LARGEST = 5;

function Volumes({ storage: { volumes } }: { storage: NodeStorage }) {
  const [all, setAll] = useState(false);
  const shown = all ? volumes : volumes.slice(0, LARGEST);
  return (
    <div>
      <ul className="plain node-volumes">
        {shown.map((volume) => (
          <li key={volume.name}>
            <code className="cut" title={volume.name}>
              {volume.name}
            </code>
            <span className="num nowrap">
              {bytes(volume.size_bytes)}
              {volume.containers === 0 && <span className="faint"> unused</span>}
            </span>
          </li>
        ))}
      </ul>
      {volumes.length > LARGEST && (
        <Button small kind="ghost" onClick={() => setAll(!all)}>
          {all ? "Fewer" : `All ${volumes.length} volumes`}
        </Button>
      )}
    </div>
  );
}

const states: Record<Cleanup["state"], StatusView> = {
  running: { tone: "busy", label: "Cleaning up" },
  done: { tone: "ok", label: "Cleaned up" },
  failed: { tone: "bad", label: "Not cleaned up" },
  unanswered: { tone: "idle", label: "No answer" },
};

function Cleanups({ cleanups }: { cleanups: Cleanup[] }) {
  return (
    <ul className="plain">
      {cleanups.slice(0, LARGEST).map((cleanup) => (
        <li key={cleanup.id}>
          <Status view={states[cleanup.state]} at={cleanup.at} />
          <p className="small muted" style={{ paddingLeft: 21 }}>
            {cleanup.state === "done" &&
              `${cleanup.removed.length} of ${cleanup.images} images, about ${bytes(cleanup.freed_bytes)}, `}
            by {cleanup.started_by}
            {cleanup.problem && `. ${sentence(cleanup.problem)}`}
          </p>
        </li>
      ))}
    </ul>
  );
}

/** Podman's words that are no trouble. */
const tones: Record<string, Tone> = {
  running: "ok",
  created: "idle",
  exited: "idle",
  stopped: "idle",
  paused: "warn",
};

/** Containers that somebody else started here. Nothing is done to them. */
export function Unmanaged({ node }: { node: Node }) {
  const worker = node.roles.includes("worker");
  const { data } = useQuery({ ...nodeStorageQuery(node.name), enabled: worker });
  if (!data || data.containers.length === 0) return null;
  const more = data.container_count - data.containers.length;
  return (
    <Card
      title="Not managed"
      text="Containers that were started here by somebody else. They are left alone."
      flush
    >
      <div className="table-wrap">
        <table className="table">
          <tbody>
            {data.containers.map((container) => (
              <tr key={container.id}>
                <td>
                  <span className="cut">{container.name}</span>
                  <span className="sub cut">{container.image}</span>
                </td>
                <td>
                  <Status
                    view={{ tone: tones[container.state] ?? "warn", label: sentence(container.state) }}
                    at={container.created_at}
                  />
                </td>
                <td className="hide-small end num nowrap">
                  {container.size_bytes == null ? (
                    <span className="faint">–</span>
                  ) : (
                    bytes(container.size_bytes)
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {more > 0 && <p className="card-body small muted">And {more} more.</p>}
    </Card>
  );
}
