import type {
  App,
  Certificate,
  Deployment,
  Domain,
  Instance,
  Node,
  PlatformNotice,
  QueuedBuild,
  Stage,
  StageProgress,
} from "@/api/types";

/** Each tone has a colour and a shape, so that colour is never the only signal. */
export type Tone = "ok" | "busy" | "warn" | "bad" | "idle";
export interface StatusView {
  tone: Tone;
  label: string;
}

/** What nobody has seen lately. */
export const unknown: StatusView = { tone: "idle", label: "Unknown" };

export const appStatus: Record<App["status"], StatusView> = {
  empty: { tone: "idle", label: "Not deployed" },
  deploying: { tone: "busy", label: "Deploying" },
  running: { tone: "ok", label: "Running" },
  degraded: { tone: "warn", label: "Degraded" },
  failed: { tone: "bad", label: "Failed" },
  "crash-looping": { tone: "bad", label: "Crash-looping" },
  stopped: { tone: "idle", label: "Stopped" },
  unknown,
};

export const deploymentState: Record<Deployment["state"], StatusView> = {
  queued: { tone: "busy", label: "Queued" },
  building: { tone: "busy", label: "Building" },
  "rolling-out": { tone: "busy", label: "Rolling out" },
  live: { tone: "ok", label: "Live" },
  superseded: { tone: "idle", label: "Superseded" },
  failed: { tone: "bad", label: "Failed" },
  cancelled: { tone: "idle", label: "Cancelled" },
};

export const instanceState: Record<Instance["state"], StatusView> = {
  pending: { tone: "idle", label: "Pending" },
  pulling: { tone: "busy", label: "Pulling image" },
  starting: { tone: "busy", label: "Starting" },
  healthy: { tone: "ok", label: "Healthy" },
  unhealthy: { tone: "warn", label: "Unhealthy" },
  exited: { tone: "bad", label: "Exited" },
  failed: { tone: "bad", label: "Failed" },
  stopped: { tone: "idle", label: "Stopped" },
};

export const nodeStatus: Record<Node["status"], StatusView> = {
  online: { tone: "ok", label: "Online" },
  offline: { tone: "bad", label: "Offline" },
  unreachable: { tone: "bad", label: "Unreachable" },
  joining: { tone: "busy", label: "Joining" },
};

export const certificateState: Record<App["certificate"]["state"], StatusView> = {
  none: { tone: "idle", label: "None" },
  pending: { tone: "busy", label: "Being issued" },
  issued: { tone: "ok", label: "Issued" },
  failed: { tone: "bad", label: "Failed" },
  elsewhere: { tone: "idle", label: "By the proxy's own resolver" },
};

export const domainState: Record<Domain["state"], StatusView> = {
  pending: { tone: "busy", label: "Not verified yet" },
  verified: { tone: "ok", label: "Verified" },
  lapsed: { tone: "bad", label: "Lapsed" },
};

export const certificateStanding: Record<Certificate["standing"], StatusView> = {
  issued: { tone: "ok", label: "Issued" },
  expiring: { tone: "warn", label: "Ends soon" },
  expired: { tone: "bad", label: "Ended" },
  ordering: { tone: "busy", label: "Being ordered" },
  waiting: { tone: "idle", label: "Not ordered yet" },
  failed: { tone: "bad", label: "Failed" },
  none: { tone: "idle", label: "None" },
  elsewhere: { tone: "idle", label: "By the proxy's own resolver" },
};

export const attemptOutcome: Record<string, StatusView> = {
  running: { tone: "busy", label: "Running" },
  issued: { tone: "ok", label: "Issued" },
  failed: { tone: "bad", label: "Failed" },
  cancelled: { tone: "idle", label: "Cancelled" },
};

export const noticeSeverity: Record<PlatformNotice["severity"], StatusView> = {
  warning: { tone: "warn", label: "Warning" },
  critical: { tone: "bad", label: "Critical" },
};

export const queuedState: Record<QueuedBuild["state"], StatusView> = {
  queued: { tone: "idle", label: "Queued" },
  running: { tone: "busy", label: "Running" },
};

export const stageState: Record<StageProgress["state"], StatusView> = {
  waiting: { tone: "idle", label: "waiting" },
  running: { tone: "busy", label: "running" },
  done: { tone: "ok", label: "done" },
  failed: { tone: "bad", label: "failed" },
  skipped: { tone: "idle", label: "skipped" },
};

export const stageName: Record<Stage, string> = {
  queue: "Queue",
  fetch: "Fetch",
  build: "Build",
  start: "Start",
  probe: "Probe",
  route: "Route",
  drain: "Drain",
};

export const stageMeaning: Record<Stage, string> = {
  queue: "Waiting for a free build slot",
  fetch: "Getting the source onto the worker",
  build: "Building or pulling the image",
  start: "Starting the new instances",
  probe: "Waiting until they answer from outside",
  route: "Every proxy takes over the new route",
  drain: "The old instances finish their requests and stop",
};

export const kindName: Record<Deployment["kind"], string> = {
  build: "Build",
  image: "Image",
  settings: "Settings",
  rollback: "Rollback",
  start: "Start",
  restart: "Restart",
  scale: "Scale",
};

/** A state that this dashboard does not know yet must not take the page down. */
export function viewOf<K extends string>(table: Record<K, StatusView>, state: K): StatusView {
  return table[state] ?? { tone: "idle", label: state };
}
