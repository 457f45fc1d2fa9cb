import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useNavigate, useSearchParams } from "react-router";
import { type ApiError, asApiError } from "@/api/errors";
import { appQuery, appsQuery, projectsQuery, sessionQuery } from "@/api/queries";
import type { AppSettings } from "@/api/types";
import { Button } from "@/components/button";
import { CopyButton } from "@/components/copy";
import { Field, TextField } from "@/components/field";
import { Icon } from "@/components/icon";
import { Card, ErrorNotice, PageHead, Skeleton, useTitle } from "@/components/page";
import { cores } from "@/lib/bytes";
import { cli } from "@/lib/cli";
import { slugProblem } from "@/lib/slug";
import { BuildFields, buildFormOf, containerfileOf, describeBuild } from "./build";
import { useCreation } from "./creation";
import {
  defaultSettings,
  formOf,
  ProbeFields,
  patchOf,
  problemsOf,
  ResourceFields,
  ServeFields,
  serverProblem,
} from "./form";
import { emptySource, SourceFields, sourceOf, sourceProblems } from "./source";

/** Makes an app and deploys it; with `?app=` deploys an app that exists and has nothing yet. */
export function Component() {
  const [query] = useSearchParams();
  const existing = query.get("app");
  useTitle(existing ? `Deploy ${existing}` : "New app");
  const app = useQuery({ ...appQuery(existing ?? ""), enabled: existing !== null });
  if (existing === null) return <NewApp key="" existing={null} settings={defaultSettings} />;
  if (app.data) return <NewApp key={existing} existing={existing} settings={app.data.settings} />;
  return (
    <div className="page narrow">
      <PageHead title={`Deploy ${existing}`} />
      {app.isError ? <ErrorNotice error={app.error} retry={app.refetch} /> : <Skeleton width="100%" />}
    </div>
  );
}

function NewApp({ existing, settings }: { existing: string | null; settings: AppSettings }) {
  const [slug, setSlug] = useState(existing ?? "");
  const [project, setProject] = useProject(existing === null);
  const [source, setSource] = useState(emptySource);
  const [form, setForm] = useState(() => formOf(settings));
  const [tried, setTried] = useState(false);
  const creation = useCreation(existing !== null);
  const navigate = useNavigate();

  const error = creation.error ? asApiError(creation.error) : undefined;
  const slugError = useSlugError(slug, tried, existing !== null, error);
  const builds = source.type !== "image";
  // What is not shown is not sent either.
  const shown = builds ? form : { ...form, ...buildFormOf(settings.containerfile) };
  const ownProblems = problemsOf(shown);
  const problems = { ...ownProblems, ...serverProblem(error?.field, error?.message ?? "") };
  const sourceErrors = sourceProblems(source);
  const invalid =
    slugProblem(slug) !== undefined ||
    Object.keys(ownProblems).length > 0 ||
    Object.keys(sourceErrors).length > 0;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (invalid) return;
    const request = { slug, project, settings: patchOf(shown), source };
    creation
      .run(request)
      .then((deployment) => navigate(`/apps/${slug}/deployments/${deployment.id}`), ignored);
  };
  const props = { form, onChange: setForm, problems };
  const problemField = Object.keys(serverProblem(error?.field, "x"))[0];
  const shownAtField =
    error?.field === "slug" || (problemField !== undefined && !elsewhere.has(problemField));

  return (
    <form className="page narrow" onSubmit={submit} noValidate>
      <PageHead
        title={existing ? `Deploy ${existing}` : "New app"}
        text="From code to an address with HTTPS."
      />
      {existing === null && (
        <Card>
          <div className="stack">
            <TextField
              label="Name"
              mono
              autoFocus
              autoComplete="off"
              autoCapitalize="none"
              spellCheck={false}
              maxLength={60}
              placeholder="hello"
              value={slug}
              onChange={(value) => {
                setSlug(value.toLowerCase().replace(/[\s_]+/g, "-"));
                creation.reset();
              }}
              error={slugError}
            />
            <HostPreview slug={slug} />
            <ProjectChoice value={project} onChange={setProject} />
          </div>
        </Card>
      )}
      <Card title="Source" text="Where the code or the image comes from.">
        <div className="stack">
          <SourceFields
            source={source}
            onChange={setSource}
            problems={tried ? sourceErrors : {}}
            progress={creation.progress}
          />
          {source.type === "git" && (
            <p className="field-help">
              A private repository needs a token or key, which the app's settings take once it is created.
            </p>
          )}
        </div>
      </Card>
      {builds && (
        <div className="card">
          <details className="more" open={hasProblem(problems, Object.keys(buildFormOf(null)))}>
            <summary>
              <Icon name="chevron" size={14} />
              Build <span className="hint">{describeBuild(containerfileOf(form))}</span>
            </summary>
            <div className="card-body stack" style={{ paddingTop: 0 }}>
              <p className="field-help">
                Without a Containerfile or Dockerfile, a preset is chosen by what is there: Node.js, Next.js,
                Vite, Go, Python, Rust or static files.
              </p>
              <BuildFields {...props} />
            </div>
          </details>
        </div>
      )}
      <Card title="Serving">
        <ServeFields {...props} />
      </Card>
      <div className="card">
        <details
          className="more"
          open={hasProblem(problems, ["path", "interval", "timeout", "startWithin", "failures"])}
        >
          <summary>
            <Icon name="chevron" size={14} />
            Probe{" "}
            <span className="hint">
              {form.check === "http" ? `GET ${form.path}` : "TCP connection"}, first success within{" "}
              {form.startWithin} s
            </span>
          </summary>
          <div className="card-body" style={{ paddingTop: 0 }}>
            <ProbeFields {...props} />
          </div>
        </details>
      </div>
      <div className="card">
        <details className="more" open={hasProblem(problems, ["memory", "cpu", "pids"])}>
          <summary>
            <Icon name="chevron" size={14} />
            Resources{" "}
            <span className="hint">
              {form.memory} MiB, {cores(Number(form.cpu) * 1000 || 0)} per instance
            </span>
          </summary>
          <div className="card-body" style={{ paddingTop: 0 }}>
            <ResourceFields {...props} />
          </div>
        </details>
      </div>
      {error && !shownAtField && <ErrorNotice error={error} />}
      <div className="row between wrap">
        <CopyButton text={cli.deploy(slug || "my-app", sourceOf(source))}>Copy as CLI</CopyButton>
        <Button
          kind="primary"
          icon="rocket"
          type="submit"
          busy={creation.isPending}
          disabled={tried && invalid}
        >
          {creation.step ?? (existing ? "Deploy" : "Create and deploy")}
        </Button>
      </div>
    </form>
  );
}

/** Fields that only the settings of an app show. */
const elsewhere = new Set(["command", "preCommand", "postCommand", "restarts", "calm"]);

/** Shown on the page already. */
function ignored() {}

function hasProblem(problems: object, names: string[]) {
  return names.some((name) => name in problems) || undefined;
}

function useSlugError(slug: string, tried: boolean, exists: boolean, error: ApiError | undefined) {
  const apps = useQuery({ ...appsQuery, enabled: !exists });
  if (error?.field === "slug") return error.code === "slug_taken" ? "This name is taken." : error.message;
  if (!exists && apps.data?.some((app) => app.slug === slug)) return "This name is taken.";
  return slug !== "" || tried ? slugProblem(slug) : undefined;
}

/** The one that was chosen. Else `default`, which the control plane takes by itself, or the first when that is gone. */
function useProject(enabled: boolean) {
  const { data: projects = [] } = useQuery({ ...projectsQuery, enabled });
  const [chosen, choose] = useState<string>();
  const first = projects.some(({ slug }) => slug === "default") ? undefined : projects[0]?.slug;
  return [chosen ?? first, choose] as const;
}

/** Only where there is something to choose. */
function ProjectChoice({ value, onChange }: { value: string | undefined; onChange: (slug: string) => void }) {
  const { data: projects = [] } = useQuery(projectsQuery);
  if (projects.length < 2) return null;
  return (
    <Field label="Project">
      {(control) => (
        <select
          className="select"
          value={value ?? "default"}
          onChange={(event) => onChange(event.target.value)}
          {...control}
        >
          {projects.map(({ id, slug, name }) => (
            <option key={id} value={slug}>
              {name}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

function HostPreview({ slug }: { slug: string }) {
  const { data: session } = useQuery(sessionQuery);
  return (
    <div className="host-preview">
      <Icon name="lock" size={14} />
      <span className="truncate">
        https://<b>{slug || "name"}</b>.{session?.zone}
      </span>
    </div>
  );
}
