import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate } from "react-router";
import { asApiError } from "@/api/errors";
import { deploymentsQuery } from "@/api/queries";
import type { App } from "@/api/types";
import { Confirm } from "@/components/confirm";
import { TextField } from "@/components/field";
import { Skeleton } from "@/components/page";
import { cli } from "@/lib/cli";
import { describeBuild } from "./build";
import { useCreation } from "./creation";
import { emptySource, SourceFields, type SourceForm, sourceFormOf, sourceOf, sourceProblems } from "./source";

/** The latest source once more, or another one, with the settings and variables of now. */
export function DeployDialog({ app, onClose }: { app: App; onClose: () => void }) {
  const deployments = useInfiniteQuery(deploymentsQuery(app.slug));
  const latest = deployments.data?.pages
    .flatMap((page) => page.items)
    .find((deployment) => deployment.source)?.source;
  const [edited, setEdited] = useState<SourceForm>();
  const source = edited ?? (latest ? sourceFormOf(latest) : emptySource);
  const [text, setText] = useState("");
  const [anew, setAnew] = useState(false);
  const [tried, setTried] = useState(false);
  const creation = useCreation(true);
  const navigate = useNavigate();

  const builds = source.type !== "image";
  const noCache = builds && anew;
  const message = text.trim() || undefined;
  const problems = sourceProblems(source);
  const error = creation.error ? asApiError(creation.error) : undefined;
  const confirm = () => {
    setTried(true);
    if (Object.keys(problems).length > 0) return;
    creation.mutate(
      { slug: app.slug, source, message, noCache },
      { onSuccess: (deployment) => navigate(`/apps/${app.slug}/deployments/${deployment.id}`) },
    );
  };
  return (
    <Confirm
      title={`Deploy ${app.slug}`}
      verb={creation.step ?? "Deploy"}
      command={cli.deploy(app.slug, sourceOf(source), { message, noCache })}
      change={creation}
      disabled={deployments.isPending}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p className="muted">
        With the settings and variables of now. The running instances serve until the new ones answer.
      </p>
      {deployments.isPending ? (
        <Skeleton width="100%" />
      ) : (
        <SourceFields
          source={source}
          onChange={setEdited}
          problems={tried ? problems : {}}
          progress={creation.progress}
        />
      )}
      <TextField
        label="Message"
        optional
        maxLength={500}
        placeholder="What is new"
        value={text}
        onChange={setText}
        error={error?.field === "message" ? error.message : undefined}
      />
      {builds && <HowBuilt app={app} anew={anew} onChange={setAnew} onLeave={onClose} />}
    </Confirm>
  );
}

interface HowProps {
  app: App;
  anew: boolean;
  onChange: (anew: boolean) => void;
  onLeave: () => void;
}

function HowBuilt({ app, anew, onChange, onLeave }: HowProps) {
  return (
    <>
      <p className="field-help">
        Built with {describeBuild(app.settings.containerfile)}.{" "}
        <Link className="link" to={`/apps/${app.slug}/settings`} onClick={onLeave}>
          Change
        </Link>
      </p>
      <label className="checkbox">
        <input type="checkbox" checked={anew} onChange={(event) => onChange(event.target.checked)} />
        <span>
          Rebuild without cache
          <br />
          <span className="faint">Every step runs anew, and base images are looked up again.</span>
        </span>
      </label>
    </>
  );
}
