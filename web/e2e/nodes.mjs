// How hosts are doing and what lies on them, in the shapes of the API, for the mock server and the unit tests.
import { ago, id } from "./data.mjs";

const GIB = 1024 ** 3;
const STEPS = /** @type {Record<string, [number, number]>} */ ({
  "1h": [60, 60],
  "6h": [120, 180],
  "24h": [300, 288],
  "7d": [3600, 168],
  "30d": [14_400, 180],
});

/** @param {number} used @param {number} total GiB both */
export const makeSpace = (used, total) => ({
  used_bytes: Math.round(used * GIB),
  total_bytes: Math.round(total * GIB),
});

/**
 * @param {Partial<import("./data.mjs").Schemas["NodeNow"]>} [over]
 * @returns {import("./data.mjs").Schemas["NodeNow"]}
 */
export const makeNow = (over = {}) => ({
  at: ago(9),
  cpu_percent: 23.4,
  load: 1.72,
  memory: makeSpace(12.1, 31.2),
  swap: makeSpace(0.2, 4),
  root: makeSpace(31, 98),
  containers: makeSpace(302, 480),
  received_per_s: 1_240_000,
  sent_per_s: 3_870_000,
  uptime_s: 23 * 86_400,
  ...over,
});

/**
 * @param {string} [range]
 * @param {Partial<import("./data.mjs").Schemas["NodeSeries"]>} [over]
 * @returns {import("./data.mjs").Schemas["NodeSeries"]}
 */
export function makeSeries(range = "1h", over = {}) {
  const [step_s, steps] = STEPS[range] ?? [300, 288];
  const until = (Math.floor(Date.now() / 1000 / step_s) + 1) * step_s;
  const wave = (/** @type {number} */ step, /** @type {number} */ of) =>
    (1 + Math.sin((step / steps) * of)) / 2;
  const points = Array.from({ length: steps }, (_, step) => ({
    at: new Date((until - (steps - step) * step_s) * 1000).toISOString(),
    cpu_percent: 12 + 30 * wave(step, 14) + (step % 7),
    cpu_most_percent: 30 + 45 * wave(step, 14) + 3 * (step % 5),
    load: 0.6 + 2 * wave(step, 14),
    memory: makeSpace(10 + 6 * wave(step, 5), 31.2),
    swap: makeSpace(0.2, 4),
    root: makeSpace(31, 98),
    containers: makeSpace(250 + (70 * step) / steps, 480),
    received_bytes: Math.round(step_s * 1_200_000 * (0.3 + wave(step, 22))),
    sent_bytes: Math.round(step_s * 3_000_000 * (0.2 + wave(step, 14))),
    // The host was restarted then.
  })).filter((_, step) => step < steps * 0.62 || step > steps * 0.66);
  return {
    range: /** @type {import("./data.mjs").Schemas["NodeSeries"]["range"]} */ (range),
    step_s,
    from: new Date((until - steps * step_s) * 1000).toISOString(),
    until: new Date(until * 1000).toISOString(),
    now: makeNow(),
    points,
    ...over,
  };
}

/**
 * @param {string} app
 * @param {Partial<import("./data.mjs").Schemas["NodeInstance"]>} [over]
 * @returns {import("./data.mjs").Schemas["NodeInstance"]}
 */
export const makeNodeInstance = (app, over = {}) => ({
  id: id(),
  app,
  release: 4,
  task: false,
  wanted: true,
  in_rotation: true,
  state: "healthy",
  restarts: 0,
  started_at: ago(7200),
  observed_at: ago(12),
  unknown_since: null,
  stats: { id: id(), cpu_millis: 140, memory_bytes: 187 * 1024 ** 2, received_bytes: 0, sent_bytes: 0 },
  ...over,
});

/**
 * What follows while a node is gone; of one that is there, nothing.
 * @param {Partial<import("./data.mjs").Schemas["NodeHealing"]>} [over]
 * @returns {import("./data.mjs").Schemas["NodeHealing"]}
 */
export const makeHealing = (over = {}) => ({
  given_up_at: null,
  gone_before: 0,
  routed: true,
  reached: false,
  lease_renewed_at: null,
  waiting: [],
  others: 0,
  ...over,
});

/**
 * @param {Partial<import("./data.mjs").Schemas["NodeStorage"]>} [over]
 * @returns {import("./data.mjs").Schemas["NodeStorage"]}
 */
export const makeStorage = (over = {}) => ({
  reported_at: ago(40),
  containers: [
    {
      id: "3f",
      name: "node-exporter",
      image: "quay.io/prometheus/node-exporter:v1.9.1",
      state: "running",
      created_at: ago(40 * 86_400),
      size_bytes: 4096,
    },
    {
      id: "9c",
      name: "old-postgres",
      image: "docker.io/library/postgres:15",
      state: "exited",
      created_at: ago(200 * 86_400),
      size_bytes: 61_000_000,
    },
  ],
  container_count: 2,
  volumes: ["shop-data", "blog-uploads", "ff3d9a1b7c6e5d4f3a2b1c0d9e8f7a6b5c4d3e2f", "cache"].map(
    (name, index) => ({
      name,
      size_bytes: Math.round(41e9 / 4 ** index),
      containers: index === 2 ? 0 : 1,
    }),
  ),
  volume_count: 4,
  measured_at: ago(260),
  disk: makeSpace(302, 480),
  images: {
    count: 23,
    size_bytes: 4_812_000_000,
    reclaimable_bytes: 96_300_000,
    cache_bytes: 1_204_000_000,
    copies_waiting: 0,
    problems: [],
  },
  ...over,
});

/** @returns {import("./data.mjs").Schemas["CleanupPreview"]} */
export const makeCleanupPreview = () => ({
  images: [
    {
      id: `sha256:${"a".repeat(64)}`,
      names: ["docker.io/library/node:18-bookworm"],
      made_at: ago(300 * 86_400),
      frees_bytes: 1_090_000_000,
      reason: "no container, release or image of this host needs it",
    },
    {
      id: `sha256:${"b".repeat(64)}`,
      names: [],
      made_at: ago(90 * 86_400),
      frees_bytes: 214_000_000,
      reason: "it lost its name to a newer one, and nothing of this host needs it",
    },
  ],
  frees_bytes: 1_304_000_000,
});

/**
 * @param {Partial<import("./data.mjs").Schemas["Cleanup"]>} [over]
 * @returns {import("./data.mjs").Schemas["Cleanup"]}
 */
export const makeCleanup = (over = {}) => ({
  id: id(),
  started_by: "ann@example.com",
  at: ago(3 * 86_400),
  state: "done",
  finished_at: ago(3 * 86_400 - 4),
  images: 3,
  removed: makeCleanupPreview().images,
  freed_bytes: 1_304_000_000,
  left: [],
  problem: null,
  ...over,
});

/**
 * @param {Partial<import("./data.mjs").Schemas["Stray"]>} [over]
 * @returns {import("./data.mjs").Schemas["Stray"]}
 */
export const makeStray = (over = {}) => ({
  container: "c0ffee00c0ffee00c0ffee00",
  name: "wh-shop-3-91c0aa",
  instance: id(),
  app: "shop",
  state: "exited",
  reason: "no desired state of this worker ever had its instance",
  found_at: ago(3600),
  remove_at: ago(-6.5 * 86_400),
  ...over,
});

/**
 * @param {Partial<import("./data.mjs").Schemas["Correction"]>} [over]
 * @returns {import("./data.mjs").Schemas["Correction"]}
 */
export const makeCorrection = (over = {}) => ({
  id: id(),
  at: ago(1800),
  app: "ledger",
  instance: id(),
  container: "beef00beef00",
  done: "stopped an exclusive instance, because its lease was over",
  reason: "the control plane had not renewed it in time",
  ...over,
});

/** @returns {import("./data.mjs").Schemas["AgentLog"]} */
export const makeAgentLog = () => ({
  agent: "worker",
  place: "7-3",
  lines: [
    {
      seq: 1,
      at: ago(900),
      level: "info",
      target: "worker::agent",
      text: "Podman answers podman=5.6.2",
    },
    {
      seq: 2,
      at: ago(300),
      level: "warn",
      target: "node::link",
      text: "no connection to the control plane reason=timed out",
    },
    { seq: 3, at: ago(290), level: "info", target: "worker::agent", text: "new desired state instances=4" },
  ],
});

/**
 * How one node reaches the others.
 * @param {string} from
 * @param {import("./data.mjs").Schemas["Node"][]} nodes
 * @returns {import("./data.mjs").Schemas["Mesh"]}
 */
export const makeMesh = (from, nodes) => ({
  cidr: "10.50.0.0/24",
  nodes: [],
  links: nodes
    .filter((node) => node.name !== from)
    .map((node, index) => ({
      from,
      to: node.name,
      state: node.status === "offline" ? "silent" : "direct",
      endpoint: node.endpoint ?? null,
      handshake_age_s: 40,
      received_bytes: 120_000_000,
      sent_bytes: 80_000_000,
      rtt_ms: node.status === "offline" ? null : 0.9 + index,
      loss: 0,
      mtu: 1420,
    })),
  links_left_out: 0,
  findings: [],
});
