import type { Failure, ProbeEvidence } from "@/api/types";
import { Time } from "@/components/time";
import { parseAnsi } from "@/lib/ansi";

/** How the app ended: rows of a list of facts. */
export function Ending({ failure }: { failure: Failure }) {
  return (
    <>
      <dt>Code</dt>
      <dd>
        <code>{failure.code}</code>
      </dd>
      {failure.exit_code != null && (
        <>
          <dt>Exit code</dt>
          <dd className="num">
            {failure.exit_code} <span className="faint">{meaningOf(failure.exit_code)}</span>
          </dd>
        </>
      )}
      {failure.out_of_memory && (
        <>
          <dt>Memory</dt>
          <dd>The kernel ended the process because it used more memory than it may.</dd>
        </>
      )}
    </>
  );
}

/** What the probe saw and the app said last. */
export function Evidence({ failure }: { failure: Failure }) {
  return (
    <>
      {failure.probe && <LastProbe probe={failure.probe} />}
      {failure.last_lines && failure.last_lines.length > 0 && <LastLines lines={failure.last_lines} />}
    </>
  );
}

/** What shells and kernels mean by the usual codes. */
function meaningOf(code: number): string {
  const meanings: Record<number, string> = {
    126: "– found, but cannot be executed",
    127: "– command not found",
    137: "– killed (SIGKILL)",
    139: "– segmentation fault (SIGSEGV)",
    143: "– ended (SIGTERM)",
  };
  return meanings[code] ?? "";
}

function LastProbe({ probe }: { probe: ProbeEvidence }) {
  return (
    <div className="stack tight">
      <h3 className="small">Last probe</h3>
      <p className="small">
        <code>{probe.target}</code>: {probe.outcome}, attempt {probe.attempts}, <Time at={probe.at} />
      </p>
      {probe.body && <pre className="log-plain">{probe.body}</pre>}
    </div>
  );
}

function LastLines({ lines }: { lines: string[] }) {
  return (
    <div className="stack tight">
      <h3 className="small">Last lines</h3>
      <pre className="log-plain">
        {lines.map((line, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the lines never change
          <span key={index}>
            {parseAnsi(line).map((segment, at) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: the lines never change
              <span key={at} className={segment.className || undefined}>
                {segment.text}
              </span>
            ))}
            {"\n"}
          </span>
        ))}
      </pre>
    </div>
  );
}
