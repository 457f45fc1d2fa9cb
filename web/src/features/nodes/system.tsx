import type { OperatingSystem } from "@/api/types";
import { Badge } from "@/components/status";
import { Time, useNow } from "@/components/time";
import { generation, packageAge, shortName } from "@/lib/os";

const rebootNeeded = { tone: "warn", label: "Reboot needed" } as const;

/** In one line: `NixOS 26.05 · generation 42 · 6 days old`, and whether it waits for a reboot. */
export function System({ os }: { os: OperatingSystem }) {
  const now = useNow();
  const parts = [shortName(os), generation(os), os.packages_at && packageAge(os.packages_at, now)];
  return (
    <>
      <span className="sub" title={os.build ?? undefined}>
        {parts.filter(Boolean).join(" · ")}
      </span>
      {os.reboot_needed && <Badge view={rebootNeeded} />}
    </>
  );
}

/** Rows of a list of facts. */
export function SystemFacts({ os }: { os: OperatingSystem }) {
  const now = useNow();
  const ofGeneration = generation(os);
  return (
    <>
      <dt>System</dt>
      <dd>
        {os.name}
        {os.build && (
          <>
            {" "}
            <code className="faint">{os.build}</code>
          </>
        )}
      </dd>
      {ofGeneration && (
        <>
          <dt>Generation</dt>
          <dd>
            {ofGeneration}
            {os.activated_at && (
              <>
                , activated <Time at={os.activated_at} />
              </>
            )}
          </dd>
        </>
      )}
      {os.packages_at && (
        <>
          <dt>Packages</dt>
          <dd>
            {packageAge(os.packages_at, now)}, of {os.packages_at.slice(0, 10)}
          </dd>
        </>
      )}
      {os.reboot_needed && (
        <>
          <dt>Reboot</dt>
          <dd>
            <Badge view={rebootNeeded} />{" "}
            <span className="small muted">to run the kernel that is installed</span>
          </dd>
        </>
      )}
    </>
  );
}
