import type { App } from "@/api/types";
import { CopyButton } from "@/components/copy";
import { Ending, Evidence } from "@/components/failure";
import { StatusMark } from "@/components/status";
import { Words } from "@/components/words";
import { cli } from "@/lib/cli";
import { sentence } from "@/lib/text";
import { RestartButton } from "./power";

/** An instance of the live release ended: why, and how to go on when nothing starts it again. */
export function Ended({ app }: { app: App }) {
  const { failure } = app;
  if (!failure || app.stopped_at) return null;
  const final = failure.code === "crash_looping";
  return (
    <section className="card failure" aria-label="Why it ended">
      <div className="failure-head">
        <StatusMark tone={final ? "bad" : "warn"} />
        <div className="failure-text">
          <h2>{sentence(failure.message)}</h2>
          {failure.hint && (
            <p>
              <Words text={sentence(failure.hint)} />
            </p>
          )}
          {final && (
            <p className="muted">
              Restart it once the cause is gone, or deploy or roll back another release.
            </p>
          )}
        </div>
        <CopyButton text={cli.power(app.slug, "restart")}>Copy as CLI</CopyButton>
        {final && <RestartButton app={app} />}
      </div>
      <div className="card-body stack">
        <dl className="facts">
          <Ending failure={failure} />
        </dl>
        <Evidence failure={failure} />
      </div>
    </section>
  );
}
