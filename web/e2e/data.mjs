// Data in the shapes of the API, for the mock server and the unit tests.

/** @typedef {import("../src/api/schema.gen").components["schemas"]} Schemas */

let counter = 0;
/** Ids that sort by creation, like the real ones. */
export function id() {
  counter += 1;
  return `0199d2c4-7a10-7000-8000-${String(counter).padStart(12, "0")}`;
}
/** @param {number} seconds */
export const ago = (seconds) => new Date(Date.now() - seconds * 1000).toISOString();
const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;
export const ZONE = "route.example.com";
const MIB = 1024 * 1024;

/** @type {Schemas["Session"]} */
export const session = {
  user: { id: id(), email: "ada@example.com", name: "Ada Okafor" },
  organization: { id: id(), slug: "fernhill", name: "Fernhill Studio", role: "owner" },
  zone: ZONE,
};

export const project = { id: id(), slug: "default" };

/** @returns {Schemas["Enforced"]} */
const enforced = () => {
  const by = (/** @type {string} */ what) => ({ by: what, why_not: null });
  return {
    user_namespaces: by("65536 numbers for each container"),
    memory: by("cgroups v2"),
    swap: by("no swap on this host"),
    cpu: by("cgroups v2"),
    pids: by("cgroups v2"),
    bandwidth: by("tc (tbf)"),
    disk: {
      by: null,
      why_not:
        "extfs below the driver overlay has no quota that Podman can set: use is measured and reported; to have it enforced put Podman's storage on XFS mounted with `pquota`, or on btrfs with Podman's driver `btrfs`",
    },
  };
};

/** @returns {Schemas["AppSettings"]} */
export const settings = () => ({
  port: 8080,
  replicas: 2,
  probe: {
    check: { type: "http", path: "/up" },
    interval_s: 1,
    timeout_s: 5,
    start_within_s: 30,
    failures: 3,
  },
  resources: { memory_mb: 512, cpu_millis: 1000, pids: 512 },
  isolation: { read_only: false, tmpfs: [], disk_mb: null, egress_mbit: null, ingress_mbit: null },
  crash_guard: { restarts: 5, calm_s: 300 },
  command: null,
  containerfile: null,
  exclusive: false,
  deploy: { strategy: "blue-green", pre_command: null, post_command: null, drain_s: 10, stop_grace_s: 10 },
  placement: {
    strategy: null,
    required: [],
    preferred: [],
    pin: null,
    anti_affinity: "soft",
    max_per_node: null,
    grace_s: null,
  },
});

/**
 * @param {string} slug
 * @param {Partial<Schemas["App"]>} [over]
 * @returns {Schemas["App"]}
 */
export function makeApp(slug, over = {}) {
  return {
    id: id(),
    slug,
    project,
    hostname: `${slug}.${ZONE}`,
    url: `https://${slug}.${ZONE}`,
    status: "running",
    settings: settings(),
    release: { number: 14, created_at: ago(3 * HOUR) },
    deployment: {
      id: id(),
      number: 17,
      state: "live",
      created_at: ago(3 * HOUR),
      finished_at: ago(3 * HOUR - 41),
    },
    instances: { wanted: 2, healthy: 2, unknown: 0, observed_at: ago(4), unknown_since: null },
    failure: null,
    certificate: { state: "issued", not_after: ago(-71 * DAY), issuer: "Let's Encrypt R11", error: null },
    stopped_at: null,
    created_at: ago(46 * DAY),
    updated_at: ago(3 * HOUR),
    ...over,
  };
}

/** @type {Schemas["Stage"][]} */
export const STAGES = ["queue", "fetch", "build", "start", "probe", "route", "drain"];

/**
 * @param {number} startedAgo
 * @param {number[]} seconds
 * @param {Schemas["StageState"]} [last]
 * @returns {Schemas["StageProgress"][]}
 */
export function makeStages(startedAgo, seconds, last = "done") {
  let at = startedAgo;
  return STAGES.map((stage, index) => {
    const took = seconds[index];
    if (took === undefined) return { stage, state: "waiting", started_at: null, finished_at: null };
    const started_at = ago(at);
    at -= took;
    const state = index === seconds.length - 1 ? last : "done";
    return { stage, state, started_at, finished_at: state === "running" ? null : ago(at) };
  });
}

/**
 * @param {Schemas["App"]} app
 * @param {Partial<Schemas["Deployment"]>} [over]
 * @returns {Schemas["Deployment"]}
 */
export function makeDeployment(app, over = {}) {
  return {
    id: app.deployment?.id ?? id(),
    app: { id: app.id, slug: app.slug },
    number: app.deployment?.number ?? 1,
    kind: "build",
    source: { type: "git", url: `https://git.example.com/fernhill/${app.slug}.git`, ref: "main" },
    state: "live",
    waiting_for: null,
    queue_position: null,
    stages: makeStages(3 * HOUR, [0.3, 2.1, 29.4, 1.2, 2.8, 0.4, 5.1]),
    failure: null,
    release: app.release?.number ?? null,
    from_release: app.release ? app.release.number - 1 : null,
    commit: "8c41f02be6d7a9035512c9aa1f0d2be7741c0a3e",
    image_size_bytes: 84_120_000,
    url: app.url,
    message: "",
    created_by: "ada@example.com",
    created_at: ago(3 * HOUR),
    finished_at: ago(3 * HOUR - 41),
    duration_ms: 41_000,
    ...over,
  };
}

/**
 * A build that waits for a slot.
 *
 * @param {Schemas["App"]} app
 * @param {Partial<Schemas["QueuedBuild"]>} [over]
 * @returns {Schemas["QueuedBuild"]}
 */
export function makeQueuedBuild(app, over = {}) {
  return {
    id: id(),
    app: { id: app.id, slug: app.slug },
    deployment: { id: app.deployment?.id ?? id(), number: app.deployment?.number ?? 1, kind: "build" },
    state: "queued",
    position: 1,
    reason: "all 2 build slots of worker-1 are busy",
    since: ago(42),
    node: null,
    cancelling: false,
    created_by: "ada@example.com",
    ...over,
  };
}

/** @type {Schemas["FailureCard"]} */
export const failure = {
  code: "never_listened",
  message: "The new release never accepted a connection on port 8080.",
  cause: "The app listens on another port, or on 127.0.0.1 only.",
  hint: "Make the app listen on 0.0.0.0 and on the port in PORT, or set another port in the settings.",
  stage: "probe",
  exit_code: 137,
  out_of_memory: true,
  last_lines: [
    "\u001b[32mINFO\u001b[0m  migrating database…",
    "\u001b[32mINFO\u001b[0m  42 migrations are up to date",
    "\u001b[33mWARN\u001b[0m  cache is cold, loading 1.2 GB of products",
    "\u001b[31mERROR\u001b[0m allocation of 536870912 bytes failed",
  ],
  probe: {
    at: ago(12 * MINUTE),
    target: "GET http://10.50.0.12:20014/up",
    attempts: 30,
    outcome: "connection refused",
    body: null,
  },
};

/**
 * @param {Partial<Schemas["OperatingSystem"]>} [over]
 * @returns {Schemas["OperatingSystem"]}
 */
export const nixos = (over = {}) => ({
  name: "NixOS 26.05 (Yarara)",
  build: "26.05.20261115.0a1b2c3",
  generation: 42,
  boot_generation: 42,
  activated_at: ago(5 * DAY),
  packages_at: ago(6 * DAY + HOUR),
  reboot_needed: false,
  ...over,
});

/**
 * @param {Partial<Schemas["NodeHealth"]>} [over]
 * @returns {Schemas["NodeHealth"]}
 */
export const makeHealth = (over = {}) => ({
  missing_since: null,
  failures: 0,
  checked_at: null,
  next_check_at: null,
  error: null,
  clock_offset_ms: 14,
  clock_measured_at: ago(24),
  ...over,
});

/**
 * @param {Schemas["Node"]["status"]} from
 * @param {Schemas["Node"]["status"]} to
 * @param {string} reason
 * @param {number} age seconds
 * @returns {Schemas["NodeTransition"]}
 */
export const makeTransition = (from, to, reason, age) => ({ id: id(), at: ago(age), from, to, reason });

/**
 * @param {Schemas["Role"][]} roles
 * @returns {Schemas["Capability"][]}
 */
export function makeCapabilities(roles) {
  /** @type {(name: string, label: string) => Schemas["Capability"]} */
  const good = (name, label) => ({ name, label, state: "good", problem: null, hint: null });
  const all = [good("architecture", "x86_64"), good("wireguard", "WireGuard in the kernel")];
  if (!roles.includes("worker")) return all;
  return [...all, good("podman", "Podman 5.2.1"), good("cgroups", "cgroup v2"), good("nftables", "nftables")];
}

/**
 * @param {string} name
 * @param {Partial<Schemas["Node"]>} [over]
 * @returns {Schemas["Node"]}
 */
export function makeNode(name, over = {}) {
  /** @type {Schemas["Role"][]} */
  const roles = over.roles ?? ["worker"];
  /** @type {Schemas["AgentKind"][]} */
  const kinds = ["mesh", ...roles.filter((role) => role !== "control-plane")];
  return {
    id: id(),
    name,
    roles,
    origin: "enrolled",
    mesh_address: `10.50.0.${10 + (counter % 200)}`,
    public_key: `${name}=`.padStart(44, "A"),
    endpoint: `198.51.100.${10 + (counter % 200)}:51821`,
    status: "online",
    status_since: ago(6 * DAY),
    last_seen_at: ago(7),
    health: makeHealth(),
    agents: kinds.map((kind) => ({
      kind,
      version: "0.1.0",
      connected: over.status !== "offline",
      last_seen_at: over.last_seen_at ?? ago(7),
      generation: 128,
      applied_generation: 128,
      clock_offset_ms: 14,
      clock_measured_at: ago(24),
      refusal: null,
      refused_at: null,
    })),
    key: { changed_at: null, rotation_asked_at: null, revoked_at: null },
    capabilities: makeCapabilities(roles),
    host: {
      architecture: "x86_64",
      kernel: "6.12.57",
      cpus: 8,
      memory_mb: 31_912,
      podman: "5.6.2",
      wireguard: "kernel",
      engine: null,
      probe: null,
      enforced: enforced(),
      proxy_port: null,
      worker_port: null,
      os: nixos(),
    },
    labels: {},
    declared_labels: [],
    zone: null,
    instances: 0,
    apps: 0,
    cordoned_at: null,
    rtt_ms: 1.4,
    numbers: null,
    images: null,
    created_at: ago(46 * DAY),
    warnings: [],
    ...over,
  };
}

/**
 * @param {Schemas["Node"]} node
 * @param {Partial<Schemas["Instance"]>} [over]
 * @returns {Schemas["Instance"]}
 */
export function makeInstance(node, over = {}) {
  const own = id();
  return {
    id: own,
    node: { id: node.id, name: node.name },
    release: 14,
    wanted: true,
    in_rotation: true,
    state: "healthy",
    address: `${node.mesh_address}:20014`,
    restarts: 0,
    exit_code: null,
    started_at: ago(3 * HOUR),
    observed_at: ago(4),
    unknown_since: null,
    probe: {
      at: ago(4),
      target: `GET http://${node.mesh_address}:20014/up`,
      attempts: 1,
      outcome: "HTTP 200 in 3 ms",
      body: null,
    },
    failure: null,
    resources: settings().resources,
    isolation: settings().isolation,
    unenforced: [],
    stats: {
      id: own,
      cpu_millis: 43,
      memory_bytes: 187 * MIB,
      received_bytes: 91_000_000,
      sent_bytes: 540_000_000,
      receive_rate: 4_000,
      send_rate: 31_000,
      pids: 12,
      disk_bytes: 9 * MIB,
    },
    ...over,
  };
}

/**
 * @param {string} field
 * @param {Partial<Schemas["ReleaseChange"]>} [over]
 * @returns {Schemas["ReleaseChange"]}
 */
export const makeChange = (field, over = {}) => ({
  field,
  label: field,
  kind: "changed",
  before: null,
  after: null,
  impact: "containers",
  ...over,
});

/**
 * @param {number} number
 * @param {Partial<Schemas["Release"]>} [over]
 * @returns {Schemas["Release"]}
 */
export const makeRelease = (number, over = {}) => ({
  id: id(),
  number,
  image: {
    id: `sha256:${"4be1f0c2a97d3e58".repeat(4)}`,
    reference: `wisehosting/app:${number}`,
    size_bytes: 84_120_000,
  },
  source: null,
  commit: "8c41f02be6d7a9035512c9aa1f0d2be7741c0a3e",
  created_at: ago(HOUR),
  deployment_id: null,
  origin: {
    number: number + 3,
    kind: "build",
    created_by: "ada@example.com",
    message: "",
    from_release: null,
    duration_ms: 41_000,
  },
  current: false,
  rolled_back_from: null,
  kept: true,
  ...over,
});

/** @type {Schemas["RolloutPreview"]} */
export const preview = {
  downtime: false,
  because: "the instances that run serve until the new ones are healthy",
  steps: [
    "start an instance on worker-1",
    "start an instance on worker-2",
    "wait until the new instances are healthy",
    "route requests to 2 new instances and no longer to 2 old instances on worker-1, worker-2",
    "go live",
    "let 2 old instances end their requests, then stop them",
  ],
};

/**
 * @param {number} cpu @param {number} memory @param {number} disk in percent
 * @returns {Schemas["NodeNow"]}
 */
function busyHost(cpu, memory, disk) {
  const of = (/** @type {number} */ percent) => ({ used_bytes: percent * 1e9, total_bytes: 1e11 });
  return {
    at: ago(8),
    cpu_percent: cpu,
    load: cpu / 12,
    memory: of(memory),
    swap: { used_bytes: 0, total_bytes: 0 },
    root: of(disk),
    containers: null,
    received_per_s: 120_000,
    sent_per_s: 80_000,
    uptime_s: 86_400,
  };
}

/** A fleet with something of everything. */
export function makeWorld() {
  const rebooting = makeNode("worker-2", {
    mesh_address: "10.50.0.12",
    instances: 3,
    apps: 3,
    numbers: busyHost(6, 44, 93),
  });
  rebooting.host.os = nixos({ generation: 43, boot_generation: 43, reboot_needed: true });
  const nodes = [
    makeNode("cp-1", { roles: ["control-plane"], origin: "declared", mesh_address: "10.50.0.1" }),
    makeNode("worker-1", {
      origin: "declared",
      mesh_address: "10.50.0.11",
      instances: 4,
      apps: 2,
      numbers: busyHost(38, 71, 63),
      labels: { disk: "nvme", rack: "3" },
      declared_labels: ["disk"],
      zone: `de.${ZONE}`,
      images: {
        count: 23,
        size_bytes: 4_812_000_000,
        reclaimable_bytes: 96_300_000,
        cache_bytes: 1_204_000_000,
        copies_waiting: 0,
        problems: [],
      },
    }),
    rebooting,
    makeNode("worker-3", {
      mesh_address: "10.50.0.13",
      status: "offline",
      status_since: ago(9 * MINUTE),
      last_seen_at: ago(9 * MINUTE),
      health: makeHealth({
        missing_since: ago(10 * MINUTE),
        failures: 4,
        checked_at: ago(80),
        next_check_at: ago(-46),
        error: "no answer from 10.50.0.13:8090 within 5 s",
      }),
      instances: 1,
    }),
    makeNode("edge-1", { roles: ["proxy"], mesh_address: "10.50.0.40" }),
  ];
  const shop = makeApp("shop", {
    status: "degraded",
    instances: { wanted: 3, healthy: 2, unknown: 0, observed_at: ago(6), unknown_since: null },
    release: { number: 31, created_at: ago(2 * DAY) },
  });
  shop.settings.containerfile = {
    preset: null,
    folder: "apps/shop",
    path: "deploy/Containerfile",
    context: ".",
    publish: null,
    spa: null,
    target: "release",
    platform: null,
    pull: false,
    labels: {},
    args: { NODE_IMAGE: "registry.example.com/node:24", VERSION: "4.2" },
  };
  const api = makeApp("orders-api");
  const deploying = makeApp("docs", {
    status: "deploying",
    release: { number: 8, created_at: ago(5 * DAY) },
    deployment: { id: id(), number: 9, state: "building", created_at: ago(24), finished_at: null },
  });
  const failed = makeApp("catalog-search", {
    deployment: {
      id: id(),
      number: 12,
      state: "failed",
      created_at: ago(13 * MINUTE),
      finished_at: ago(12 * MINUTE),
    },
    release: { number: 11, created_at: ago(6 * DAY) },
  });
  const fresh = makeApp("status-page", {
    status: "empty",
    release: null,
    deployment: null,
    instances: { wanted: 1, healthy: 0, unknown: 0, observed_at: null, unknown_since: null },
    certificate: { state: "none", not_after: null, issuer: null, error: null },
  });
  const blog = makeApp("blog", {
    instances: { wanted: 1, healthy: 1, unknown: 0, observed_at: ago(2), unknown_since: null },
    release: { number: 3, created_at: ago(20 * DAY) },
  });
  return { nodes, apps: [api, blog, failed, deploying, shop, fresh] };
}

/**
 * @param {string} name
 * @param {Partial<Schemas["Variable"]>} [over]
 * @returns {Schemas["Variable"]}
 */
export function makeVariable(name, over = {}) {
  return {
    name,
    value: null,
    build_time: false,
    required: false,
    locked: false,
    comment: "",
    updated_at: ago(60),
    ...over,
  };
}

/**
 * @param {string} hostname
 * @param {Partial<Schemas["Domain"]>} [over]
 * @returns {Schemas["Domain"]}
 */
export function makeDomain(hostname, over = {}) {
  const record = `_wisehosting.${hostname}`;
  const token = "6e0cbd1f".repeat(8);
  return {
    id: id(),
    hostname,
    unicode: null,
    app: "shop",
    state: "verified",
    verified_at: ago(60),
    checked_at: ago(20),
    error: null,
    next_check_at: ago(-DAY),
    missing_since: null,
    lapses_at: null,
    expires_at: null,
    records: {
      proof: { name: record, type: "TXT", value: token },
      address: [{ name: hostname, type: "CNAME", value: `shop.${ZONE}` }],
      note: null,
      zone_file: `${record}. 300 IN TXT "${token}"\n${hostname}. 300 IN CNAME shop.${ZONE}.\n`,
    },
    certificate: { state: "issued", not_after: ago(-71 * DAY), issuer: "Let's Encrypt R11", error: null },
    paths: [],
    created_by: "ada@example.com",
    created_at: ago(300),
    ...over,
  };
}

/**
 * @param {Schemas["StreamProtocol"]} protocol
 * @param {number} port
 * @param {Partial<Schemas["AppStream"]>} [over]
 * @returns {Schemas["AppStream"]}
 */
export function makeStream(protocol, port, over = {}) {
  return {
    protocol,
    port,
    address: `shop.${ZONE}:${port}`,
    allow: [],
    proxy_protocol: false,
    tls: null,
    max_connections: 1000,
    idle_timeout_s: protocol === "tcp" ? 3600 : 60,
    created_by: "ada@example.com",
    created_at: ago(2 * DAY),
    warning: null,
    problems: [],
    ...over,
  };
}

/** What a domain lacks before its record has been seen. */
export const unproven = (/** @type {string} */ hostname) =>
  makeDomain(hostname, {
    state: "pending",
    verified_at: null,
    error: `_wisehosting.${hostname} has no TXT record yet`,
    next_check_at: ago(-40),
    expires_at: ago(-6 * DAY),
    certificate: { state: "none", not_after: null, issuer: null, error: null },
  });

/**
 * @param {string} host
 * @param {Partial<Schemas["CertificateDetail"]>} [over]
 * @returns {Schemas["CertificateDetail"]}
 */
export function makeCertificate(host, over = {}) {
  return {
    host,
    app: host.split(".")[0] ?? null,
    source: "acme",
    standing: "issued",
    summary: "Valid for 71 more days.",
    names: [host],
    issuer: "Let's Encrypt R11",
    not_before: ago(19 * DAY),
    not_after: ago(-71 * DAY),
    days_left: 71,
    staging: false,
    challenge: "http-01",
    next: { at: ago(-41 * DAY), what: "renewed: two thirds of its time are over by then" },
    failures: 0,
    problem: null,
    import_id: null,
    attempts: [
      {
        id: id(),
        at: ago(19 * DAY),
        finished_at: ago(19 * DAY - 6),
        kind: "first",
        challenge: "http-01",
        names: [host],
        directory: "https://acme-v02.api.letsencrypt.org/directory",
        staging: false,
        outcome: "issued",
        trouble: null,
        log: ["order made", "challenge on 2 proxies", "issued"],
        proxy: "edge-1",
      },
    ],
    proxies: [
      { node: "edge-1", connected: true, generation: 48, current: true },
      { node: "edge-2", connected: true, generation: 48, current: true },
    ],
    reissue_at: null,
    ...over,
  };
}

/**
 * An order that the CA refused, because the name leads elsewhere.
 * @param {string} host
 */
export function makeFailingCertificate(host) {
  const trouble = {
    at: ago(7 * MINUTE),
    code: "acme_wrong_answer",
    message: `Something else than the proxies answered the CA on ${host}: 104.21.3.4: Invalid response: 526`,
    hint: `Cloudflare (104.21.3.4, the orange cloud) answers the CA for ${host} instead of the proxies. Set its record to \`DNS only\` (the grey cloud) until the certificate is there.`,
  };
  const made = makeCertificate(host);
  return makeCertificate(host, {
    standing: "failed",
    summary: "None yet: the last 3 orders failed.",
    names: [],
    issuer: null,
    not_before: null,
    not_after: null,
    days_left: null,
    challenge: null,
    next: { at: ago(-9 * MINUTE), what: "ordered again, 3 in a row failed" },
    failures: 3,
    problem: trouble,
    attempts: made.attempts.map((attempt) => ({
      ...attempt,
      at: ago(7 * MINUTE + 4),
      finished_at: trouble.at,
      outcome: "failed",
      trouble,
    })),
  });
}

/**
 * @param {Partial<Schemas["ImportedCertificate"]>} [over]
 * @returns {Schemas["ImportedCertificate"]}
 */
export const makeImported = (over = {}) => ({
  id: id(),
  names: ["*.fernhill.example", "fernhill.example"],
  hosts: ["shop.fernhill.example"],
  issuer: "Fernhill House CA",
  not_before: ago(300 * DAY),
  not_after: ago(-6 * DAY),
  fingerprint: "AB:CD",
  notes: ["Its issuer, Fernhill House CA, is not known to the control plane's host: it is an internal CA."],
  imported_by: "ada@example.com",
  imported_at: ago(300 * DAY),
  ...over,
});

/**
 * @param {Partial<Schemas["Notice"]>} [over]
 * @returns {Schemas["Notice"]}
 */
export const makeNotice = (over = {}) => ({
  id: id(),
  kind: "certificate-ends",
  subject: "certificate:shop.fernhill.example",
  severity: "warning",
  text: "The certificate for shop.fernhill.example ends on 2026-06-07, in less than 7 days.",
  hint: "Import a newer one with `wh cert import`; after its end proxies order one.",
  first_seen: ago(7 * DAY),
  told_at: ago(HOUR),
  resolved_at: null,
  ...over,
});
