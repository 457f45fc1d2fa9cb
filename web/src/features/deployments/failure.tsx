import type { Deployment, ExplainedFailure } from "@/api/types";
import { CopyButton } from "@/components/copy";
import { Ending, Evidence } from "@/components/failure";
import { StatusMark } from "@/components/status";
import { Words } from "@/components/words";
import { cli } from "@/lib/cli";
import { stageMeaning, stageName } from "@/lib/status";
import { sentence } from "@/lib/text";

/**
 * Why it failed, or what went wrong after it was live, with everything that helps to see the cause without asking for
 * more.
 */
export function FailureCard({ deployment, failure }: { deployment: Deployment; failure: ExplainedFailure }) {
  return (
    <section className="card failure" aria-label="Failure">
      <div className="failure-head">
        <StatusMark tone="bad" />
        <div className="failure-text">
          <h2>{sentence(failure.message)}</h2>
          {failure.hint && (
            <p>
              <Words text={sentence(failure.hint)} />
            </p>
          )}
        </div>
        <CopyButton text={cli.again(deployment)}>Copy as CLI</CopyButton>
      </div>
      <div className="card-body stack">
        <dl className="facts">
          {deployment.state === "failed" && (
            <>
              <dt>Stage</dt>
              <dd>
                {stageName[failure.stage] ?? failure.stage}{" "}
                <span className="faint">– {stageMeaning[failure.stage]}</span>
              </dd>
            </>
          )}
          <dt>Likely cause</dt>
          <dd>{failure.cause}</dd>
          <Ending failure={failure} />
        </dl>
        <Evidence failure={failure} />
      </div>
    </section>
  );
}
