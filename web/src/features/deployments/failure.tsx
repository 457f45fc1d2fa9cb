import type { Deployment, Failure, ProbeEvidence } from "@/api/types";
import { CopyButton } from "@/components/copy";
import { StatusMark } from "@/components/status";
import { Time } from "@/components/time";
import { parseAnsi } from "@/lib/ansi";
import { cli } from "@/lib/cli";
import { stageMeaning, stageName } from "@/lib/status";
import { sentence } from "@/lib/text";

/** Why it failed, with everything that helps to see the cause without asking for more. */
export function FailureCard({ deployment, failure }: { deployment: Deployment; failure: Failure }) {
  return (
    <section className="card failure" aria-label="Failure">
      <div className="failure-head">
        <StatusMark tone="bad" />
        <div className="failure-text">
          <h2>{sentence(failure.message)}</h2>
          {failure.hint && <p>{sentence(failure.hint)}</p>}
        </div>
        <CopyButton text={cli.again(deployment)}>Copy as CLI</CopyButton>
      </div>
      <div className="card-body stack">
        <dl className="facts">
          <dt>Stage</dt>
          <dd>
            {stageName[failure.stage] ?? failure.stage}{" "}
            <span className="faint">– {stageMeaning[failure.stage]}</span>
          </dd>
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
        </dl>
        {failure.probe && <Evidence probe={failure.probe} />}
        {failure.last_lines && failure.last_lines.length > 0 && <LastLines lines={failure.last_lines} />}
      </div>
    </section>
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

function Evidence({ probe }: { probe: ProbeEvidence }) {
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
