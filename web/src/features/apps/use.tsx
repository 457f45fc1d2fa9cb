import type { Instance } from "@/api/types";
import { Time } from "@/components/time";
import { bytes } from "@/lib/bytes";

const ended: Instance["state"][] = ["stopped", "exited", "failed"];
const MIB = 1024 * 1024;

const mbit = (rate: number) => ((rate * 8) / 1e6).toFixed(rate < 1.25e6 ? 2 : 1);

/** What an instance uses of what it may, and what of that nothing enforces on its node. */
export function Use({ instance }: { instance: Instance }) {
  const { stats, started_at, resources, isolation } = instance;
  if (!stats || ended.includes(instance.state)) return <span className="faint">–</span>;
  const share = Math.min(1, stats.memory_bytes / (resources.memory_mb * MIB));
  return (
    <div className="stack tight">
      <span className="num nowrap">{bytes(stats.memory_bytes)}</span>
      <div
        className="meter"
        role="img"
        aria-label={`${Math.round(share * 100)} % of its memory`}
        title={`${Math.round(share * 100)} % of ${resources.memory_mb} MiB`}
      >
        <div style={{ width: `${share * 100}%` }} />
      </div>
      <span className="sub nowrap">
        {(stats.cpu_millis / 10).toFixed(1)} % CPU
        {stats.pids != null && ` · ${stats.pids} of ${resources.pids} processes`}
      </span>
      {stats.disk_bytes != null && (
        <span className="sub nowrap">
          {bytes(stats.disk_bytes)}
          {isolation.disk_mb != null && ` of ${isolation.disk_mb} MiB`} on disk
        </span>
      )}
      {stats.receive_rate != null && stats.send_rate != null && (
        <span className="sub nowrap">
          <Rate word="in" rate={stats.receive_rate} limit={isolation.ingress_mbit} /> ·{" "}
          <Rate word="out" rate={stats.send_rate} limit={isolation.egress_mbit} />
        </span>
      )}
      {started_at && (
        <span className="sub nowrap">
          started <Time at={started_at} />
        </span>
      )}
    </div>
  );
}

function Rate({ word, rate, limit }: { word: string; rate: number; limit?: number | null }) {
  return (
    <>
      {mbit(rate)}
      {limit != null && ` of ${limit}`} Mbit/s {word}
    </>
  );
}

/** A limit that is asked for and does not hold where the instance is. */
export function Unenforced({ instance }: { instance: Instance }) {
  return instance.unenforced.map(({ setting, why }) => (
    <span className="sub" key={setting} title={why}>
      <code>{setting}</code> is not enforced here
    </span>
  ));
}
