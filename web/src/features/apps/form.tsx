import type { AppSettings, CrashGuard, Deploy, Probe, Resources, SettingsPatch } from "@/api/types";
import { AreaField, Choices, TextField } from "@/components/field";
import { type BuildForm, buildFormOf, buildNames, buildProblems, containerfileOf } from "./build";
import {
  defaultIsolation,
  type IsolationForm,
  isolationFormOf,
  isolationNames,
  isolationOf,
  isolationProblems,
} from "./isolation-form";
import {
  defaultPlacement,
  type PlacementForm,
  placementFormOf,
  placementNames,
  placementOf,
  placementProblems,
} from "./placement-form";

/** Settings as they are typed: numbers are text until they are sent. */
export interface SettingsForm extends BuildForm, IsolationForm, PlacementForm {
  port: string;
  replicas: string;
  exclusive: "several" | "one";
  check: Probe["check"]["type"];
  path: string;
  status: string;
  program: string;
  interval: string;
  timeout: string;
  startWithin: string;
  failures: string;
  memory: string;
  cpu: string;
  pids: string;
  restarts: string;
  calm: string;
  command: string;
  strategy: Deploy["strategy"];
  preCommand: string;
  postCommand: string;
  drain: string;
  stopGrace: string;
}

const defaultProbe: Probe = {
  check: { type: "tcp" },
  interval_s: 1,
  timeout_s: 5,
  start_within_s: 30,
  failures: 3,
};
const defaultResources: Resources = { memory_mb: 512, cpu_millis: 1000, pids: 512 };
const defaultGuard: CrashGuard = { restarts: 5, calm_s: 300 };
export const defaultSettings: AppSettings = {
  port: null,
  replicas: 1,
  exclusive: false,
  probe: defaultProbe,
  resources: defaultResources,
  isolation: defaultIsolation,
  crash_guard: defaultGuard,
  command: null,
  containerfile: null,
  deploy: { strategy: "blue-green", pre_command: null, post_command: null, drain_s: 10, stop_grace_s: 10 },
  placement: defaultPlacement,
};

export function describeProbe({ check }: Probe): string {
  if (check.type === "http") return `GET ${check.path}`;
  if (check.type === "command") return check.command.join(" ");
  return check.type === "tcp" ? "TCP connection" : "off";
}

export function formOf(settings: AppSettings): SettingsForm {
  const { probe, resources, crash_guard } = settings;
  return {
    ...buildFormOf(settings.containerfile),
    ...isolationFormOf(settings.isolation),
    ...placementFormOf(settings.placement),
    port: settings.port == null ? "" : String(settings.port),
    replicas: String(settings.replicas),
    exclusive: settings.exclusive ? "one" : "several",
    check: probe.check.type,
    path: probe.check.type === "http" ? probe.check.path : "/",
    status: probe.check.type === "http" && probe.check.status ? String(probe.check.status) : "",
    program: probe.check.type === "command" ? probe.check.command.join("\n") : "",
    interval: String(probe.interval_s),
    timeout: String(probe.timeout_s),
    startWithin: String(probe.start_within_s),
    failures: String(probe.failures),
    memory: String(resources.memory_mb),
    cpu: String(resources.cpu_millis / 1000),
    pids: String(resources.pids),
    restarts: String(crash_guard.restarts),
    calm: String(crash_guard.calm_s),
    command: (settings.command ?? []).join("\n"),
    strategy: settings.deploy.strategy,
    preCommand: (settings.deploy.pre_command ?? []).join("\n"),
    postCommand: (settings.deploy.post_command ?? []).join("\n"),
    drain: String(settings.deploy.drain_s),
    stopGrace: String(settings.deploy.stop_grace_s),
  };
}

type Problems = Partial<Record<keyof SettingsForm, string>>;

const whole: [keyof SettingsForm, number, number][] = [
  ["replicas", 1, 100],
  ["interval", 1, 300],
  ["timeout", 1, 60],
  ["startWithin", 1, 3600],
  ["failures", 1, 100],
  ["memory", 16, 1_048_576],
  ["pids", 8, 65_536],
  ["restarts", 0, 100],
  ["calm", 10, 86_400],
  ["drain", 0, 3600],
  ["stopGrace", 1, 600],
];

export function problemsOf(form: SettingsForm): Problems {
  const problems: Problems = {
    ...buildProblems(form),
    ...isolationProblems(form),
    ...placementProblems(form),
  };
  const check = (name: keyof SettingsForm, low: number, high: number) => {
    const value = Number(form[name]);
    if (!/^\d+$/.test(form[name].trim()) || value < low || value > high)
      problems[name] = `A whole number from ${low} to ${high}.`;
  };
  for (const [name, low, high] of whole) check(name, low, high);
  if (form.port.trim() !== "") check("port", 1, 65_535);
  if (form.check === "http" && form.status.trim() !== "") check("status", 100, 599);
  const cpu = Number(form.cpu);
  if (!(cpu >= 0.05 && cpu <= 256)) problems.cpu = "From 0.05 to 256 cores.";
  if (form.check === "http" && !form.path.startsWith("/")) problems.path = "Starts with a slash.";
  if (form.check === "command" && wordsOf(form.program).length === 0) problems.program = "Names a program.";
  return problems;
}

/** Arguments are typed one per line. */
function wordsOf(text: string): string[] {
  return text
    .split("\n")
    .map((part) => part.trim())
    .filter(Boolean);
}

function commandOf(text: string): string[] | null {
  const words = wordsOf(text);
  return words.length > 0 ? words : null;
}

export function patchOf(form: SettingsForm): SettingsPatch {
  return {
    port: form.port.trim() === "" ? null : Number(form.port),
    replicas: Number(form.replicas),
    exclusive: form.exclusive === "one",
    probe: {
      check: checkOf(form),
      interval_s: Number(form.interval),
      timeout_s: Number(form.timeout),
      start_within_s: Number(form.startWithin),
      failures: Number(form.failures),
    },
    resources: {
      memory_mb: Number(form.memory),
      cpu_millis: Math.round(Number(form.cpu) * 1000),
      pids: Number(form.pids),
    },
    isolation: isolationOf(form),
    crash_guard: { restarts: Number(form.restarts), calm_s: Number(form.calm) },
    command: commandOf(form.command),
    containerfile: containerfileOf(form),
    deploy: {
      strategy: form.strategy,
      pre_command: commandOf(form.preCommand),
      post_command: commandOf(form.postCommand),
      drain_s: Number(form.drain),
      stop_grace_s: Number(form.stopGrace),
    },
    placement: placementOf(form),
  };
}

function checkOf({ check, path, status, program }: SettingsForm): Probe["check"] {
  if (check === "tcp" || check === "off") return { type: check };
  if (check === "command") return { type: "command", command: wordsOf(program) };
  return status.trim() === "" ? { type: "http", path } : { type: "http", path, status: Number(status) };
}

/** Field names of the API to those of the form, for errors from the server. */
const serverNames: Record<string, keyof SettingsForm> = {
  ...buildNames,
  ...isolationNames,
  ...placementNames,
  port: "port",
  replicas: "replicas",
  probe: "path",
  "probe.check.path": "path",
  "probe.check.status": "status",
  "probe.check.command": "program",
  "probe.interval_s": "interval",
  "probe.timeout_s": "timeout",
  "probe.start_within_s": "startWithin",
  "probe.failures": "failures",
  resources: "memory",
  "resources.memory_mb": "memory",
  "resources.cpu_millis": "cpu",
  "resources.pids": "pids",
  "crash_guard.restarts": "restarts",
  "crash_guard.calm_s": "calm",
  command: "command",
  "deploy.pre_command": "preCommand",
  "deploy.post_command": "postCommand",
};

export function serverProblem(field: string | undefined, message: string): Problems {
  // A build argument or a label is named by its own name behind that of all of them.
  const plain = field?.replace(/^settings\./, "").replace(/^(containerfile\.(?:args|labels))\..*$/, "$1");
  const name = plain && serverNames[plain];
  return name ? { [name]: message } : {};
}

export interface Props {
  form: SettingsForm;
  onChange: (form: SettingsForm) => void;
  problems: Problems;
}

export function useFields({ form, onChange, problems }: Props) {
  return (name: keyof SettingsForm) => ({
    value: form[name],
    onChange: (value: string) => onChange({ ...form, [name]: value }),
    error: problems[name],
  });
}

export function ServeFields(props: Props) {
  const { form, onChange } = props;
  const field = useFields(props);
  return (
    <div className="fields">
      <TextField
        label="Port"
        optional
        inputMode="numeric"
        placeholder="8080"
        help="Empty: the lowest port that the image exposes. The app also finds it in PORT."
        {...field("port")}
      />
      <TextField
        label="Instances"
        inputMode="numeric"
        help="Spread over the workers. One is enough to begin with."
        {...field("replicas")}
      />
      <Choices
        legend="At the same time"
        value={form.exclusive}
        onChange={(exclusive) => onChange({ ...form, exclusive })}
        options={[
          {
            value: "several",
            title: "Several instances",
            text: "A new one serves before the old one ends: no request is lost.",
          },
          {
            value: "one",
            title: "Only one, ever",
            text: "The old one ends before the new one starts. For apps that would spoil their data otherwise.",
          },
        ]}
      />
    </div>
  );
}

export function ProbeFields(props: Props) {
  const { form, onChange } = props;
  const field = useFields(props);
  return (
    <div className="stack">
      <Choices
        legend="Probe"
        value={form.check}
        onChange={(check) => onChange({ ...form, check })}
        options={[
          {
            value: "tcp",
            title: "TCP connection",
            text: "The app accepts connections on its port. Works for every app.",
          },
          {
            value: "http",
            title: "HTTP request",
            text: "A path answers with a status from 200 to 399. Surer, if your app has one.",
          },
          {
            value: "command",
            title: "Command",
            text: "A program in the container ends with 0. For what speaks neither HTTP nor TCP.",
          },
          {
            value: "off",
            title: "None",
            text: "An instance counts as healthy when it has run for a while, whether it serves or not.",
          },
        ]}
      />
      {form.check === "http" && (
        <div className="fields">
          <TextField label="Path" mono {...field("path")} />
          <TextField
            label="Status"
            optional
            inputMode="numeric"
            placeholder="200 to 399"
            {...field("status")}
          />
        </div>
      )}
      {form.check === "command" && (
        <AreaField label="Program" help="One argument per line; no shell reads them." {...field("program")} />
      )}
      <div className="fields">
        <TextField label="Every" suffix="s" inputMode="numeric" {...field("interval")} />
        <TextField label="Answer within" suffix="s" inputMode="numeric" {...field("timeout")} />
        <TextField label="First success within" suffix="s" inputMode="numeric" {...field("startWithin")} />
        <TextField label="Unhealthy after" suffix="failures" inputMode="numeric" {...field("failures")} />
      </div>
    </div>
  );
}

export function ResourceFields(props: Props) {
  const field = useFields(props);
  return (
    <div className="fields">
      <TextField
        label="Memory"
        suffix="MiB"
        inputMode="numeric"
        help="More, and the kernel ends the instance."
        {...field("memory")}
      />
      <TextField
        label="Processor"
        suffix="cores"
        inputMode="decimal"
        help="More is slowed down, not ended."
        {...field("cpu")}
      />
      <TextField
        label="Processes"
        inputMode="numeric"
        help="Processes and threads together."
        {...field("pids")}
      />
    </div>
  );
}

export function CrashGuardFields(props: Props) {
  const field = useFields(props);
  return (
    <div className="fields">
      <TextField
        label="Restarts in a row"
        inputMode="numeric"
        help="With longer and longer pauses; the next end is final."
        {...field("restarts")}
      />
      <TextField
        label="Calm after"
        suffix="s"
        inputMode="numeric"
        help="Running for so long, it counts from the start again."
        {...field("calm")}
      />
    </div>
  );
}
