import type { Containerfile, Preset } from "@/api/types";
import { AreaField, Field, TextField } from "@/components/field";

/** How an app is built, as it is typed. What is empty takes the default. */
export interface BuildForm {
  preset: Preset | "";
  folder: string;
  containerfile: string;
  publish: string;
  /** Whether paths that are no file get `index.html`. */
  spa: "" | "yes" | "no";
  context: string;
  target: string;
  platform: string;
  /** When base images are looked up again. */
  pull: "missing" | "always";
  buildArgs: string;
  labels: string;
}

export function buildFormOf(wanted: Containerfile | null | undefined): BuildForm {
  return {
    preset: wanted?.preset ?? "",
    folder: wanted?.folder ?? "",
    containerfile: wanted?.path ?? "",
    publish: wanted?.publish ?? "",
    spa: wanted?.spa == null ? "" : wanted.spa ? "yes" : "no",
    context: wanted && wanted.context !== "." ? wanted.context : "",
    target: wanted?.target ?? "",
    platform: wanted?.platform ?? "",
    pull: wanted?.pull ? "always" : "missing",
    buildArgs: textOf(wanted?.args),
    labels: textOf(wanted?.labels),
  };
}

/** A site is served by a preset, so that a Containerfile of one's own leaves nothing to say about it. */
const isSite = (form: BuildForm) => form.preset !== "" || form.containerfile.trim() === "";

/** Nothing when all of it is the default. A preset writes the Containerfile, so that no other is named beside it. */
export function containerfileOf(form: BuildForm): Containerfile | null {
  const site = isSite(form);
  const wanted: Containerfile = {
    preset: form.preset || null,
    folder: form.folder.trim() || null,
    path: (form.preset === "" && form.containerfile.trim()) || null,
    publish: (site && form.publish.trim()) || null,
    spa: site && form.spa !== "" ? form.spa === "yes" : null,
    context: form.context.trim() || ".",
    target: form.target.trim() || null,
    platform: form.platform.trim() || null,
    pull: form.pull === "always",
    args: recordOf(form.buildArgs),
    labels: recordOf(form.labels),
  };
  return JSON.stringify(buildFormOf(wanted)) === JSON.stringify(buildFormOf(null)) ? null : wanted;
}

/** `NAME=value`, one per line; a value is all behind the first `=`. */
function entriesOf(text: string) {
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [name = ""] = line.split("=", 1);
      return { line, name: name.trim(), value: line.slice(name.length + 1) };
    });
}

const recordOf = (text: string) =>
  Object.fromEntries(entriesOf(text).map(({ name, value }) => [name, value]));

function textOf(record: Record<string, string> | undefined): string {
  return Object.entries(record ?? {})
    .map(([name, value]) => `${name}=${value}`)
    .join("\n");
}

type Problems = Partial<Record<keyof BuildForm, string>>;

/** The rules of the control plane, which has the last word. */
export function buildProblems(form: BuildForm): Problems {
  const problems: Problems = {};
  for (const name of ["folder", "containerfile", "publish", "context"] as const) {
    const isUsed = name === "containerfile" ? form.preset === "" : name !== "publish" || isSite(form);
    if (isUsed && !isInside(form[name].trim())) problems[name] = "A path inside the source, without “..”.";
  }
  if (!/^([A-Za-z0-9][\w.-]{0,127})?$/.test(form.target.trim()))
    problems.target = "The name of a build stage.";
  const platform = form.platform.trim();
  if (platform !== "" && !/^linux(\/[A-Za-z0-9][\w.-]{0,127}){1,2}$/.test(platform))
    problems.platform = "As in linux/amd64 or linux/arm/v7.";
  const wrongArgs = entriesProblem(form.buildArgs, /^[A-Za-z_]\w{0,127}$/);
  if (wrongArgs) problems.buildArgs = wrongArgs;
  const wrongLabels = labelsProblem(form.labels);
  if (wrongLabels) problems.labels = wrongLabels;
  return problems;
}

function isInside(path: string): boolean {
  return (
    path.length <= 1024 &&
    !/^[/-]/.test(path) &&
    !/\p{Cc}/u.test(path) &&
    path.split("/").every((part) => part !== "..")
  );
}

const MOST_ENTRIES = 64;
const LONGEST_VALUE = 4096;

function entriesProblem(text: string, names: RegExp): string | undefined {
  const seen = new Set<string>();
  for (const { line, name, value } of entriesOf(text)) {
    if (!line.includes("=") || !names.test(name)) return `“${line}” is not NAME=value.`;
    if (seen.has(name)) return `${name} is there twice.`;
    if (/\p{Cc}/u.test(value)) return `The value of ${name} has control characters.`;
    if (new TextEncoder().encode(value).length > LONGEST_VALUE)
      return `The value of ${name} is longer than ${LONGEST_VALUE} bytes.`;
    seen.add(name);
  }
  return seen.size > MOST_ENTRIES ? `At most ${MOST_ENTRIES} lines.` : undefined;
}

function labelsProblem(text: string): string | undefined {
  const ours = entriesOf(text).find(({ name }) => name.startsWith("wisehosting."));
  return ours ? `WiseHosting itself sets ${ours.name}.` : entriesProblem(text, /^[A-Za-z0-9][\w./-]{0,127}$/);
}

/** Field names of the API to those of the form, for errors from the server. */
export const buildNames: Record<string, keyof BuildForm> = {
  "containerfile.preset": "preset",
  "containerfile.folder": "folder",
  "containerfile.path": "containerfile",
  "containerfile.publish": "publish",
  "containerfile.spa": "spa",
  "containerfile.context": "context",
  "containerfile.target": "target",
  "containerfile.platform": "platform",
  "containerfile.pull": "pull",
  "containerfile.args": "buildArgs",
  "containerfile.labels": "labels",
};

/** One line, for where it is not to be changed. */
export function describeBuild(wanted: Containerfile | null | undefined): string {
  if (!wanted) return "its Containerfile, else a preset";
  const { preset, path, folder, target, platform } = wanted;
  const by = preset ? `preset ${presetNames[preset]}` : (path ?? "its Containerfile, else a preset");
  return [by, target && `stage ${target}`, folder && `in ${folder}`, platform && `for ${platform}`]
    .filter(Boolean)
    .join(", ");
}

const presetNames: Record<Preset, string> = {
  node: "Node.js",
  nextjs: "Next.js",
  vite: "Vite",
  go: "Go",
  python: "Python",
  rust: "Rust",
  static: "static files",
};

const presetOptions = Object.fromEntries(
  Object.entries(presetNames).map(([preset, name]) => [preset, `Preset ${name}`]),
);

interface Props<F extends BuildForm> {
  form: F;
  onChange: (form: F) => void;
  problems: Problems;
}

export function BuildFields<F extends BuildForm>({ form, onChange, problems }: Props<F>) {
  const field = (name: Exclude<keyof BuildForm, "preset" | "pull" | "spa">) => ({
    value: form[name],
    onChange: (value: string) => onChange({ ...form, [name]: value }),
    error: problems[name],
  });
  const text = { optional: true, mono: true, spellCheck: false };
  return (
    <div className="stack">
      <div className="fields wide">
        <SelectField
          label="Built with"
          help="A preset writes the Containerfile and wins over one of the source."
          value={form.preset}
          onChange={(preset) => onChange({ ...form, preset: preset as F["preset"] })}
          error={problems.preset}
          options={{ "": "Its Containerfile, else what fits", ...presetOptions }}
        />
        {form.preset === "" && (
          <TextField
            label="Containerfile"
            placeholder="Containerfile"
            help="Its path below the folder. Empty: Containerfile, then Dockerfile, then the preset that fits."
            {...text}
            {...field("containerfile")}
          />
        )}
        <TextField
          label="Folder"
          placeholder="apps/web"
          help="Built as if it were the whole source; empty: all of it."
          {...text}
          {...field("folder")}
        />
        {isSite(form) && (
          <>
            <TextField
              label="Published folder"
              placeholder="dist"
              help="Of static files, Vite and exported Next.js: what is served. Empty: where it usually is."
              {...text}
              {...field("publish")}
            />
            <SelectField
              label="Paths that are no file"
              help="Of the same kinds of sites."
              value={form.spa}
              onChange={(spa) => onChange({ ...form, spa: spa as F["spa"] })}
              error={problems.spa}
              options={{ "": "As is usual for the kind", yes: "Get index.html", no: "Are not found" }}
            />
          </>
        )}
        <TextField
          label="Context"
          placeholder="."
          help="Below the folder too: from where COPY takes files."
          {...text}
          {...field("context")}
        />
        <TextField
          label="Target stage"
          placeholder="release"
          help="The stage to stop at; empty: the last."
          {...text}
          {...field("target")}
        />
        <TextField
          label="Platform"
          placeholder="linux/amd64"
          help="Empty: the worker's own. RUN steps need a worker that can run it."
          {...text}
          {...field("platform")}
        />
        <SelectField
          label="Base images"
          help="Whether a registry is asked for a newer one."
          value={form.pull}
          onChange={(pull) => onChange({ ...form, pull: pull as F["pull"] })}
          error={problems.pull}
          options={{ missing: "Pulled when missing", always: "Looked up in every build" }}
        />
      </div>
      <AreaField
        optional
        spellCheck={false}
        label="Build arguments"
        placeholder="VERSION=1.4"
        help="NAME=value, one per line. They stay in the image's history: a secret belongs into a variable that is marked for builds."
        {...field("buildArgs")}
      />
      <AreaField
        optional
        spellCheck={false}
        label="Image labels"
        placeholder="org.example.team=shop"
        help="NAME=value, one per line."
        {...field("labels")}
      />
    </div>
  );
}

interface FieldProps {
  label: string;
  help: string;
  value: string;
  onChange: (value: string) => void;
  error: string | undefined;
}

function SelectField({
  options,
  value,
  onChange,
  ...field
}: FieldProps & { options: Record<string, string> }) {
  return (
    <Field {...field}>
      {(control) => (
        <select
          className="select"
          value={value}
          onChange={(event) => onChange(event.target.value)}
          {...control}
        >
          {Object.entries(options).map(([option, name]) => (
            <option key={option} value={option}>
              {name}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
