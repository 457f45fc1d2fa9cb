// A stand-in for the control plane: serves dist/ with the real content security policy and an API with a world in
// memory, in which deployments pass through their stages. For looking at pages and for developing without a cluster.
//
//   node e2e/mock.mjs [--port 4173] [--first-run]
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import {
  ago,
  failure,
  id,
  makeApp,
  makeCertificate,
  makeChange,
  makeDeployment,
  makeDomain,
  makeFailingCertificate,
  makeImported,
  makeInstance,
  makeNode,
  makeNotice,
  makeQueuedBuild,
  makeRelease,
  makeStages,
  makeStream,
  makeTransition,
  makeVariable,
  makeWorld,
  preview,
  STAGES,
  session,
  unproven,
  ZONE,
} from "./data.mjs";
import {
  makeAgentLog,
  makeCleanup,
  makeCleanupPreview,
  makeCorrection,
  makeHealing,
  makeMesh,
  makeNodeInstance,
  makeSeries,
  makeStorage,
  makeStray,
} from "./nodes.mjs";
import { makePlacement } from "./placement.mjs";
import { makeNetwork, makeProject } from "./projects.mjs";
import { makeSample, makeSamples, makeSum, makeTraffic, pickSamples } from "./traffic.mjs";

/** @typedef {import("./data.mjs").Schemas} Schemas */
/** @typedef {import("node:http").IncomingMessage} Request */
/** @typedef {import("node:http").ServerResponse} Response */

const dist = join(dirname(fileURLToPath(import.meta.url)), "..", "dist");
const POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'self'; form-action 'self'";
const TYPES = /** @type {Record<string, string>} */ ({
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
});
export const SETUP_CODE = "7F3K-Q2XN-94TB";

/** @param {{ firstRun?: boolean, stageMs?: number }} [options] */
export function startMock({ firstRun = false, stageMs = 900 } = {}) {
  const world = new World(firstRun, stageMs);
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://mock");
    if (url.pathname.startsWith("/api/")) {
      world.answer(request, response, url).catch((error) => {
        send(response, 500, { code: "internal", message: String(error), request_id: id() });
      });
    } else serveFile(url.pathname, response);
  });
  return { server, world };
}

/**
 * What is told of a node besides itself.
 * @param {string} node @param {URL} url @returns {Record<string, () => unknown>}
 */
const nodeParts = (node, url) => ({
  numbers: () => makeSeries(url.searchParams.get("range") ?? "24h"),
  instances: () => ({
    items: [makeNodeInstance("shop"), makeNodeInstance("shop", { restarts: 2 }), makeNodeInstance("blog")],
    others: node === "worker-1" ? 1 : 0,
  }),
  healing: () =>
    node === "worker-3"
      ? makeHealing({
          given_up_at: ago(240),
          gone_before: 1,
          routed: false,
          waiting: [
            { app: "shop", instance: id(), deployment: 31, problem: null },
            {
              app: "blog",
              instance: id(),
              deployment: null,
              problem: "no worker can take it (worker-1: not worker-3, its only node)",
            },
          ],
        })
      : makeHealing(),
  storage: () => makeStorage(),
  strays: () => list([makeStray()]),
  corrections: () => list([makeCorrection()]),
  gc: () => list([makeCleanup()]),
  "gc/preview": () => makeCleanupPreview(),
  "agent-log": () => makeAgentLog(),
});

/** @param {string} path @param {Response} response */
function serveFile(path, response) {
  const wanted = join(dist, normalize(path));
  const file =
    wanted.startsWith(dist) && existsSync(wanted) && statSync(wanted).isFile()
      ? wanted
      : join(dist, "index.html");
  response.writeHead(200, {
    "content-type": TYPES[extname(file)] ?? "application/octet-stream",
    "content-security-policy": POLICY,
    "cache-control": path.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache",
  });
  createReadStream(file).pipe(response);
}

/** @param {Response} response @param {number} status @param {unknown} [body] @param {Record<string, string>} [headers] */
function send(response, status, body, headers = {}) {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}

/** @param {string} code @param {string} message @param {string | null} [field] */
const problem = (code, message, field = null) => ({
  code,
  message,
  field,
  hint: null,
  request_id: `req-${id().slice(-12)}`,
});

/** @param {unknown[]} items */
const list = (items) => ({ items, next: null });

/** @param {Request} request @returns {Promise<Buffer>} */
async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** @param {Response} response */
function openStream(response) {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  response.write(": open\n\n");
  /** @param {string} event @param {unknown} data @param {string | number} [eventId] */
  return (event, data, eventId) => {
    response.write(
      `${eventId === undefined ? "" : `id: ${eventId}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`,
    );
  };
}

const BUILD_LINES = [
  "\u001b[1mSTEP 1/6:\u001b[0m FROM node:22-slim AS build",
  "\u001b[1mSTEP 2/6:\u001b[0m WORKDIR /app",
  "--> Using cache \u001b[2m5c1a90b7e2d4\u001b[0m",
  "\u001b[1mSTEP 3/6:\u001b[0m COPY package.json package-lock.json ./",
  "\u001b[1mSTEP 4/6:\u001b[0m RUN npm ci",
  "\u001b[33mnpm warn\u001b[0m deprecated glob@7.2.3: older versions are no longer supported",
  "added 214 packages in 6s",
  "\u001b[1mSTEP 5/6:\u001b[0m COPY . .",
  '\u001b[1mSTEP 6/6:\u001b[0m CMD ["node", "server.js"]',
  "COMMIT wisehosting/hello:0199d2c4",
  "\u001b[32mSuccessfully tagged\u001b[0m wisehosting/hello:0199d2c4",
];

/** @param {Schemas["Node"]} node */
const nodeHistory = ({ status, health }) =>
  status === "offline"
    ? [
        makeTransition("online", "offline", `3 checks in a row failed: ${health.error}`, 540),
        makeTransition("joining", "online", "its mesh agent is connected", 46 * 86_400),
      ]
    : [makeTransition("joining", "online", "its mesh agent is connected", 46 * 86_400)];

class World {
  /** @param {boolean} firstRun @param {number} stageMs */
  constructor(firstRun, stageMs) {
    this.stageMs = stageMs;
    this.needsSetup = firstRun;
    const { nodes, apps } = firstRun
      ? { nodes: [makeNode("w1"), makeNode("edge-1", { roles: ["proxy"] })], apps: [] }
      : makeWorld();
    this.nodes = nodes;
    this.samples = makeSamples(120);
    /** @type {Schemas["App"][]} */
    this.apps = apps;
    /** @type {{ app: Schemas["App"], stone: Schemas["Tombstone"] }[]} */
    this.tombstones = [];
    /** @type {Map<string, Schemas["Deployment"]>} */
    this.deployments = new Map();
    /** @type {Map<string, Schemas["LogLine"][]>} */
    this.logs = new Map();
    /** @type {Map<string, Schemas["Variable"][]>} */
    this.variables = new Map();
    /** @type {Map<string, Schemas["ReleaseChange"][]>} What waits. */
    this.pending = new Map();
    /** @type {Map<string, Schemas["ReleaseChange"][]>} What was applied last. */
    this.applied = new Map();
    /** @type {Schemas["Registry"][]} */
    this.registries = [];
    this.projects = [makeProject("default", { name: "Default" })];
    if (!firstRun) this.projects.push(makeProject("office", { name: "The office", deleted_apps: 1 }));
    this.imports = [makeImported()];
    this.certificates = [
      ...["shop", "docs", "api"].map((app) => makeCertificate(`${app}.${ZONE}`)),
      makeFailingCertificate("blog.fernhill.example"),
      makeCertificate("shop.fernhill.example", {
        source: "imported",
        standing: "expiring",
        summary: "Valid for 6 more days.",
        issuer: "Fernhill House CA",
        names: ["*.fernhill.example", "fernhill.example"],
        challenge: null,
        import_id: this.imports[0]?.id ?? null,
        attempts: [],
        next: {
          at: this.imports[0]?.not_after ?? null,
          what: "ends, unless a newer one is imported; proxies order one then",
        },
      }),
    ];
    this.notices = [
      makeNotice({
        severity: "critical",
        kind: "certificate-fails",
        subject: "certificate:blog.fernhill.example",
        text: "Orders of a certificate for blog.fernhill.example have been failing since 2026-06-01.",
        hint: "Something else than the proxies answered the CA.",
      }),
      makeNotice(),
    ];
    /** @type {Map<string, Schemas["GitAccess"]>} */
    this.gitAccess = new Map();
    /** @type {Schemas["Token"][]} */
    this.tokens = firstRun
      ? []
      : [
          {
            id: id(),
            name: "ada-laptop",
            created_at: ago(900_000),
            expires_at: ago(-6_000_000),
            last_used_at: ago(340),
          },
          { id: id(), name: "ci", created_at: ago(4_000_000), expires_at: null, last_used_at: ago(7_400) },
        ];
    /** @type {Schemas["NodeToken"][]} */
    this.nodeTokens = [];
    /** @type {Set<(event: string, data: unknown) => void>} */
    this.followers = new Set();
    /** @type {Map<string, Set<(event: string, data: unknown, id?: number) => void>>} */
    this.watchers = new Map();
    for (const app of apps) this.remember(app);
  }

  /** @param {Schemas["App"]} app */
  remember(app) {
    if (!app.deployment) return;
    const { state, created_at, finished_at } = app.deployment;
    const deployment = makeDeployment(app, {
      state,
      created_at,
      finished_at: finished_at ?? null,
      message: "Send the receipt once the payment is booked, not before",
    });
    if (state === "failed") {
      deployment.stages = makeStages(780, [0.2, 1.8, 21.2, 0.9, 30], "failed");
      deployment.failure = failure;
      deployment.release = null;
    }
    if (state === "building") {
      deployment.stages = makeStages(24, [0.4, 1.9, 0], "running");
      deployment.release = null;
    }
    this.deployments.set(deployment.id, deployment);
    this.logs.set(
      deployment.id,
      BUILD_LINES.map((text, index) => ({
        seq: index + 1,
        at: ago(20 - index),
        stream: text.includes("warn") ? "stderr" : "stdout",
        text,
      })),
    );
    for (const offset of [1, 2, 3]) {
      const older = makeDeployment(app, {
        id: id(),
        number: deployment.number - offset,
        state: offset === 2 ? "cancelled" : "superseded",
        kind: offset === 3 ? "rollback" : "build",
        message: offset === 1 ? "Prices with tax" : "",
        release: offset === 2 ? null : (app.release?.number ?? 4) - offset,
        created_at: ago(86_400 * offset),
        finished_at: ago(86_400 * offset - 38 - offset),
      });
      this.deployments.set(older.id, older);
    }
    this.variables.set(
      app.slug,
      ["DATABASE_URL", "LOG_LEVEL", "SESSION_SECRET", "SMTP_HOST"].map((name, index) => ({
        ...makeVariable(name),
        value: ["postgres://shop@10.50.0.11/shop", "info", "u7Gk2mQ9", "mail.example.com"][index] ?? "",
        required: name === "DATABASE_URL",
        locked: name === "SESSION_SECRET",
        comment: name === "SMTP_HOST" ? "for receipts" : "",
        updated_at: ago(86_400 * (index + 1)),
      })),
    );
    const memory = makeChange("resources.memory_mb", {
      label: "memory",
      before: "512 MiB",
      after: "1024 MiB",
    });
    this.applied.set(app.slug, [memory]);
    if (app.slug === "shop")
      this.pending.set(app.slug, [
        memory,
        makeChange("variables.SMTP_HOST", { label: "variable SMTP_HOST" }),
      ]);
  }

  /** @param {Schemas["Change"]["topic"]} topic @param {string} changed */
  announce(topic, changed) {
    for (const follower of this.followers) follower("change", { topic, id: changed });
  }

  /** @param {string} name */
  app(name) {
    return this.apps.find((app) => app.slug === name || app.id === name);
  }

  /** @param {Request} request @param {Response} response @param {URL} url */
  async answer(request, response, url) {
    const [resource = "", key = "", part = ""] = url.pathname.replace("/api/v1/", "").split("/");
    const method = request.method ?? "GET";
    const raw = method === "GET" ? undefined : await bodyOf(request);
    const json = () => JSON.parse(raw?.toString() || "{}");
    const signedIn = /wh_session=mock/.test(request.headers.cookie ?? "");
    const cookie = { "set-cookie": "wh_session=mock; Path=/; HttpOnly; SameSite=Lax" };

    if (resource === "setup") {
      if (method === "GET") return send(response, 200, { needed: this.needsSetup });
      const { code, email, name, organization } = json();
      if (!this.needsSetup) return send(response, 409, problem("setup_closed", "Setup is finished."));
      if (code !== SETUP_CODE)
        return send(response, 403, problem("setup_code_wrong", "The setup code is not valid."));
      this.needsSetup = false;
      Object.assign(session.user, { email, name });
      session.organization.name = organization;
      return send(response, 201, session, cookie);
    }
    if (resource === "session" && method === "POST") {
      const { password } = json();
      if (password === "wrong")
        return send(response, 401, problem("credentials_wrong", "E-mail or password is wrong."));
      return send(response, 200, session, cookie);
    }
    if (!signedIn) return send(response, 401, problem("unauthenticated", "Sign in first."));
    if (resource === "session") {
      if (method === "GET") return send(response, 200, session);
      return send(response, 204, undefined, { "set-cookie": "wh_session=; Path=/; Max-Age=0" });
    }
    if (resource === "events") return this.followChanges(response);
    if (resource === "apps") return this.answerApps(method, key, part, url, json, response, request);
    if (resource === "tombstones")
      return send(response, 200, list(this.tombstones.map(({ stone }) => stone)));
    if (resource === "deployments") return this.answerDeployments(method, key, part, url, response);
    if (resource === "certificates") return this.answerCertificates(method, key, part, response);
    if (resource === "notices") return send(response, 200, list(this.notices));
    if (resource === "jobs") return send(response, 200, list(this.queue()));
    if (resource === "nodes" && part === "placement" && method === "GET")
      return send(response, 200, makePlacement(key));
    if (resource === "nodes" && part === "gc" && method === "POST")
      return send(response, 202, makeCleanup({ state: "running", at: ago(0), finished_at: null }));
    if (resource === "nodes" && part) {
      const told = nodeParts(key, url)[url.pathname.split("/").slice(5).join("/")];
      if (told) return send(response, 200, told());
    }
    if (resource === "nodes") return this.answerNodes(method, key, part, response);
    if (resource === "mesh")
      return send(response, 200, makeMesh(url.searchParams.get("node") ?? "worker-1", this.nodes));
    if (resource === "moves") return send(response, 200, { items: [], others: 0 });
    if (resource === "placement" || resource === "rebalance") return send(response, 200, list([]));
    if (resource === "node-tokens") return this.answerNodeTokens(method, key, json, response);
    if (resource === "tokens") return this.answerTokens(method, key, json, response);
    if (resource === "projects") return this.answerProjects(method, key, part, json, response);
    if (resource === "registries") return this.answerRegistries(method, key, part, json, response);
    // Nothing is set up of these; a page says so.
    if (["zones", "dns-providers", "route-tokens"].includes(resource)) return send(response, 200, list([]));
    if (resource === "audit") return send(response, 200, list(this.audit()));
    return send(response, 404, problem("not_found", "There is nothing here."));
  }

  /** @param {string} app */
  streams(app) {
    if (app !== "shop") return [];
    const problem = "another process of this host has the port: find it with `ss -ltnp 'sport = :30001'`";
    return [
      makeStream("tcp", 30000),
      makeStream("tcp", 30001, { problems: [{ node: "edge-1", problem, since: ago(600) }] }),
    ];
  }

  /** @param {string} app */
  domains(app) {
    if (app !== "shop") return [];
    const paths = [{ id: id(), path: "/api", app: "orders-api", strip_prefix: true }];
    const certificate = { ...makeDomain("").certificate, covered_by: "*.fernhill.example" };
    return [
      makeDomain("www.fernhill.example", { paths, certificate }),
      makeDomain("fernhill-studio.example"),
      unproven("fernhill.example"),
    ];
  }

  /** @param {Response} response */
  followChanges(response) {
    const emit = openStream(response);
    this.followers.add(emit);
    response.on("close", () => this.followers.delete(emit));
  }

  /**
   * @param {string} method @param {string} key @param {string} part @param {URL} url
   * @param {() => any} json @param {Response} response @param {Request} request
   */
  answerApps(method, key, part, url, json, response, request) {
    if (key === "") {
      if (method === "GET")
        return send(response, 200, list([...this.apps].sort((a, b) => a.slug.localeCompare(b.slug))));
      return this.createApp(json(), response);
    }
    if (part === "undelete") return this.undelete(key, response);
    const app = this.app(key);
    if (!app) return send(response, 404, problem("app_unknown", "There is no such app."));
    const route = `${method} ${part}`;
    const own = [...this.deployments.values()]
      .filter(({ app: of }) => of.id === app.id)
      .sort((a, b) => b.number - a.number);
    switch (route) {
      case "GET ":
        return send(response, 200, app);
      case "PATCH ":
        Object.assign(app.settings, json());
        return send(response, 200, app);
      case "GET instances":
        return send(response, 200, list(this.instances(app)));
      case "GET git-access":
      case "POST git-access":
      case "DELETE git-access":
        return this.answerGitAccess(method, app.slug, json, response);
      case "GET releases": {
        const [, before, after] = url.pathname.match(/\/releases\/(\d+)\/diff\/(\d+)$/) ?? [];
        if (!before) return send(response, 200, list(this.releases(app, own)));
        const changes = before === after ? [] : this.applied.get(app.slug);
        return send(response, 200, {
          before: Number(before),
          after: Number(after),
          changes,
          impact: "containers",
        });
      }
      case "GET domains":
        return send(response, 200, list(this.domains(app.slug)));
      case "GET streams":
        return send(response, 200, { items: this.streams(app.slug), ports: "30000-30999" });
      case "GET traffic": {
        const range = url.searchParams.get("range") ?? "24h";
        const none = { points: [], paths: [], sources: [], total: makeSum() };
        return send(response, 200, makeTraffic(range, app.release ? {} : none));
      }
      case "GET requests":
        if (url.searchParams.get("before") === null) this.samples.unshift(makeSample({ at: ago(0) }));
        return send(response, 200, pickSamples(app.release ? this.samples : [], url.searchParams));
      case "GET activity":
        return send(response, 200, list(this.activity(app, own)));
      case "GET pending":
        return send(response, 200, this.waiting(app));
      case "POST apply":
        return send(response, 202, this.apply(app));
      case "GET deployments":
        return send(response, 200, list(own));
      case "POST archives":
        return send(response, 201, {
          id: id(),
          sha256: "9f".repeat(32),
          size_bytes: Number(request.headers["content-length"]),
        });
      case "POST deployments": {
        const { source, settings, message } = json();
        Object.assign(app.settings, settings ?? {});
        const kind = source.type === "image" ? "image" : "build";
        return send(response, 202, this.deploy(app, kind, source, message));
      }
      case "POST rollback":
        return send(
          response,
          202,
          this.deploy(app, "rollback", own.find((deployment) => deployment.source)?.source ?? null),
        );
      case "POST instances":
        return send(response, 202, this.power(app, "restart", {}));
      case "POST stop":
      case "POST start":
      case "POST restart":
      case "POST scale":
        return send(response, 202, this.power(app, part, json()));
      case "DELETE ":
        return this.bury(app, url, response);
      case "GET env":
        return send(response, 200, this.env(app, url.searchParams.get("reveal") === "true"));
      case "GET env/file":
        return send(response, 200, this.envFile(app));
      case "PATCH env/file":
        return this.writeEnvFile(app, json(), response);
      case "PATCH env":
        return this.changeEnv(app, json(), response);
      case "GET logs":
        return this.followLog(app, response, url);
      default:
        return send(response, 404, problem("not_found", "There is nothing here."));
    }
  }

  /** @param {Schemas["App"]} app @param {string} verb @param {{ replicas?: number }} body */
  power(app, verb, { replicas }) {
    if (verb === "stop") {
      Object.assign(app, { status: "stopped", stopped_at: ago(0) });
      Object.assign(app.instances, { wanted: 0, healthy: 0 });
      this.announce("apps", app.id);
      return { app, deployment: null };
    }
    app.stopped_at = null;
    app.settings.replicas = replicas ?? app.settings.replicas;
    app.instances.wanted = app.settings.replicas;
    const kind = verb === "start" ? "start" : verb === "scale" ? "scale" : "restart";
    return { app, deployment: this.deploy(app, kind, null) };
  }

  /** @param {Schemas["App"]} app @param {URL} url @param {Response} response */
  bury(app, url, response) {
    if (url.searchParams.get("confirm") !== app.slug)
      return send(response, 422, problem("invalid", "This is not its name.", "confirm"));
    this.apps = this.apps.filter((other) => other !== app);
    const stone = {
      id: app.id,
      slug: app.slug,
      deleted_at: ago(0),
      deleted_by: session.user.email,
      gone_at: ago(-7 * 86_400),
      pieces: {
        domains: 0,
        containers: 2,
        variables: 3,
        releases: 2,
        deployments: 4,
        uploads: 1,
        certificates: 1,
        git_access: 0,
      },
    };
    this.tombstones.push({ app, stone });
    this.announce("apps", app.id);
    return send(response, 200, stone);
  }

  /** @param {string} slug @param {Response} response */
  undelete(slug, response) {
    const buried = this.tombstones.find(({ stone }) => stone.slug === slug);
    if (!buried) return send(response, 404, problem("not_found", "There is no such deleted app."));
    this.tombstones = this.tombstones.filter((other) => other !== buried);
    this.apps.push(buried.app);
    return send(response, 202, this.power(buried.app, "start", {}));
  }

  /** @param {Schemas["AppRequest"]} body @param {Response} response */
  createApp(body, response) {
    if ("containerfile" in body)
      return send(response, 400, problem("bad_request", "Unknown field `containerfile`."));
    if (this.app(body.slug)) return send(response, 409, problem("slug_taken", "This name is taken.", "slug"));
    if (!/^[a-z][a-z0-9-]*$/.test(body.slug))
      return send(response, 422, problem("slug_invalid", "Not a name.", "slug"));
    const app = makeApp(body.slug, {
      status: "empty",
      release: null,
      deployment: null,
      instances: {
        wanted: body.replicas ?? 1,
        healthy: 0,
        unknown: 0,
        observed_at: null,
        unknown_since: null,
      },
      certificate: { state: "none", not_after: null, issuer: null, error: null },
      created_at: ago(0),
    });
    this.apps.push(app);
    this.announce("apps", app.id);
    return send(response, 201, app);
  }

  /** @param {Schemas["App"]} app */
  instances(app) {
    const workers = this.nodes.filter((node) => node.roles.includes("worker"));
    const release = app.release?.number ?? 1;
    return Array.from({ length: app.release ? app.instances.wanted : 0 }, (_, index) => {
      const node = workers[index % workers.length] ?? makeNode("w1");
      const sick = app.status === "degraded" && index === 2;
      return makeInstance(node, {
        release,
        observed_at: ago(sick ? 540 : 4),
        unknown_since: sick ? ago(540) : null,
        ...(sick && {
          state: "unhealthy",
          in_rotation: false,
          restarts: 3,
          probe: {
            at: ago(540),
            target: `GET http://${node.mesh_address}:20014/up`,
            attempts: 3,
            outcome: "HTTP 503 in 12 ms",
            body: null,
          },
        }),
      });
    });
  }

  /** @param {Schemas["App"]} app @param {Schemas["Deployment"][]} own */
  releases(app, own) {
    const latest = app.release?.number ?? 0;
    return Array.from({ length: Math.min(6, latest) }, (_, index) =>
      makeRelease(latest - index, {
        source: own[0]?.source ?? null,
        created_at: ago(10_800 + 86_400 * index),
        deployment_id: own[index]?.id ?? null,
        current: index === 0,
        kept: index < 5,
      }),
    );
  }

  /** @param {Schemas["App"]} app @returns {Schemas["Pending"]} */
  waiting(app) {
    const changes = this.pending.get(app.slug) ?? [];
    const isBusy = app.status === "deploying";
    return {
      release: app.release?.number ?? null,
      deployment: isBusy ? (app.deployment?.number ?? null) : null,
      applicable: changes.length > 0 && !isBusy,
      changes,
      impact: changes.length > 0 ? "containers" : "nothing",
      preview: changes.length > 0 && !isBusy ? preview : null,
    };
  }

  /** @param {Schemas["App"]} app */
  apply(app) {
    this.applied.set(app.slug, this.pending.get(app.slug) ?? []);
    this.pending.delete(app.slug);
    return this.deploy(app, "settings", null);
  }

  /** @param {Schemas["App"]} app @param {boolean} reveal */
  env(app, reveal) {
    const variables = this.variables.get(app.slug) ?? [];
    return {
      variables: variables.map((one) => ({ ...one, value: reveal && !one.locked ? one.value : null })),
      pending: this.pending.has(app.slug),
      predefined: [
        { name: "PORT", about: "the port to listen on; a variable of the app's own wins", value: "8080" },
        { name: "WISEHOSTING_APP", about: "the app's name", value: app.slug },
        { name: "WISEHOSTING_URL", about: "where the app is served", value: app.url },
        { name: "WISEHOSTING_NODE", about: "the node that the instance runs on", value: null },
      ],
    };
  }

  /** @param {Schemas["App"]} app */
  envFile(app) {
    const all = this.variables.get(app.slug) ?? [];
    const open = all.filter(({ locked }) => !locked);
    const text = open
      .map(({ name, value, comment }) => `${comment ? `# ${comment}\n` : ""}${name}=${value}\n`)
      .join("");
    return { text, version: text, locked: all.filter(({ locked }) => locked).map(({ name }) => name) };
  }

  /**
   * Without quotes, and with one line of comment.
   * @param {Schemas["App"]} app @param {Schemas["EnvFileChange"]} change @param {Response} response
   */
  writeEnvFile(app, { text, deploy }, response) {
    const before = this.variables.get(app.slug) ?? [];
    const found = [...text.matchAll(/(?:# ?(.*)\n)?(\w+)=(.*)/g)].map(
      ([, comment, name = "", value = ""]) => ({
        ...(before.find((one) => one.name === name) ?? makeVariable(name)),
        value,
        comment: comment ?? "",
      }),
    );
    this.variables.set(app.slug, [...found, ...before.filter(({ locked }) => locked)]);
    const deployment = deploy ? this.apply(app) : null;
    return send(response, 200, { ...this.env(app, false), deployment });
  }

  /** @param {Schemas["App"]} app @param {Required<Schemas["VariablesPatch"]>} patch @param {Response} response */
  changeEnv(app, { set, unset, build_time, required, locked, comments, deploy }, response) {
    const all = (this.variables.get(app.slug) ?? []).filter(({ name }) => !unset.includes(name));
    for (const [name, value] of Object.entries(set)) {
      const had = all.find((one) => one.name === name);
      if (had) Object.assign(had, { value, updated_at: ago(0) });
      else all.push({ ...makeVariable(name), value });
    }
    for (const one of all) {
      one.build_time = build_time?.[one.name] ?? one.build_time;
      one.required = required?.[one.name] ?? one.required;
      one.locked = locked?.[one.name] ?? one.locked;
      one.comment = comments?.[one.name] ?? one.comment;
    }
    this.variables.set(app.slug, all);
    if (app.release) {
      const names = [...Object.keys(set), ...unset];
      const changes = names.map((name) => makeChange(`variables.${name}`, { label: `variable ${name}` }));
      this.pending.set(app.slug, [...(this.pending.get(app.slug) ?? []), ...changes]);
    }
    const deployment = deploy ? this.apply(app) : null;
    return send(response, 200, { ...this.env(app, false), deployment });
  }

  /** @param {Schemas["App"]} app @param {Response} response @param {URL} url */
  followLog(app, response, url) {
    const emit = openStream(response);
    const instances = this.instances(app).map((instance) => instance.id);
    let number = Number(url.searchParams.get("after") ?? 0);
    const line = () => {
      number += 1;
      const kinds = [
        `\u001b[32mINFO\u001b[0m  GET /products/${number % 97} 200 ${(number * 7) % 23} ms`,
        `\u001b[32mINFO\u001b[0m  GET /up 200 1 ms`,
        `\u001b[36mDEBUG\u001b[0m cache hit for \u001b[2mproducts:${number % 97}\u001b[0m`,
        `\u001b[33mWARN\u001b[0m  slow query (412 ms): select * from orders where customer_id = $1 order by created_at desc limit 50`,
      ];
      const text = kinds[number % 11 === 0 ? 3 : number % 3] ?? "";
      emit(
        "line",
        {
          id: String(number),
          at: ago(0),
          stream: number % 11 === 0 ? "stderr" : "stdout",
          text,
          instance_id: instances[number % Math.max(1, instances.length)] ?? id(),
          release: app.release?.number ?? 1,
        },
        number,
      );
    };
    if (app.release) for (let i = 0; i < 60; i += 1) line();
    const timer = setInterval(() => app.release && line(), 400);
    response.on("close", () => clearInterval(timer));
  }

  /** @param {string} method @param {string} key @param {string} part @param {URL} url @param {Response} response */
  answerDeployments(method, key, part, url, response) {
    const deployment = this.deployments.get(key);
    if (!deployment)
      return send(response, 404, problem("deployment_unknown", "There is no such deployment."));
    if (part === "cancel" && method === "POST") {
      deployment.state = "cancelled";
      deployment.finished_at = ago(0);
      this.tell(deployment, "end", deployment);
      return send(response, 202, deployment);
    }
    if (part === "front" && method === "POST") return send(response, 200, deployment);
    if (part !== "events") return send(response, 200, deployment);
    const emit = openStream(response);
    emit("deployment", deployment);
    const after = Number(url.searchParams.get("after") ?? 0);
    for (const line of this.logs.get(key) ?? []) if (line.seq > after) emit("log", line, line.seq);
    if (deployment.finished_at) return emit("end", deployment);
    const watchers = this.watchers.get(key) ?? new Set();
    this.watchers.set(key, watchers.add(emit));
    response.on("close", () => watchers.delete(emit));
  }

  /** Builds that run, then those that wait. */
  queue() {
    const builds = [...this.deployments.values()].flatMap((deployment) => {
      const app = this.app(deployment.app.slug);
      const { id: of, number, kind, created_at: since } = deployment;
      const own = { deployment: { id: of, number, kind }, since, created_by: deployment.created_by };
      if (!app || (deployment.state !== "building" && deployment.state !== "queued")) return [];
      const running = { state: /** @type {const} */ ("running"), reason: null, node: "worker-1" };
      return [
        makeQueuedBuild(app, { ...own, position: null, ...(deployment.state === "building" && running) }),
      ];
    });
    const waiting = builds.filter(({ state }) => state === "queued");
    waiting.forEach((build, index) => {
      build.position = index + 1;
    });
    return [...builds.filter(({ state }) => state === "running"), ...waiting];
  }

  /** @param {Schemas["Deployment"]} deployment @param {string} event @param {unknown} data @param {number} [eventId] */
  tell(deployment, event, data, eventId) {
    for (const emit of this.watchers.get(deployment.id) ?? []) emit(event, data, eventId);
  }

  /**
   * @param {Schemas["App"]} app @param {Schemas["DeploymentKind"]} kind
   * @param {Schemas["Source"] | null} source @param {string} [message]
   */
  deploy(app, kind, source, message = "") {
    const deployment = makeDeployment(app, {
      id: id(),
      number: (app.deployment?.number ?? 0) + 1,
      kind,
      source,
      message,
      state: "queued",
      stages: STAGES.map((stage) => ({ stage, state: "waiting", started_at: null, finished_at: null })),
      release: null,
      created_by: session.user.email,
      created_at: ago(0),
      finished_at: null,
    });
    this.deployments.set(deployment.id, deployment);
    this.logs.set(deployment.id, []);
    app.deployment = {
      id: deployment.id,
      number: deployment.number,
      state: "queued",
      created_at: deployment.created_at,
    };
    app.status = "deploying";
    this.announce("deployments", deployment.id);
    this.runStage(app, deployment, 0);
    return deployment;
  }

  /** @param {Schemas["App"]} app @param {Schemas["Deployment"]} deployment @param {number} index */
  runStage(app, deployment, index) {
    const before = deployment.stages[index - 1];
    const stage = deployment.stages[index];
    if (deployment.state === "cancelled") return;
    if (before) Object.assign(before, { state: "done", finished_at: ago(0) });
    if (!stage) return this.finish(app, deployment);
    Object.assign(stage, { state: "running", started_at: ago(0) });
    deployment.state = index === 0 ? "queued" : index < 3 ? "building" : "rolling-out";
    Object.assign(app.deployment ?? {}, { state: deployment.state });
    this.say(deployment, index === 2 ? BUILD_LINES : [`${stage.stage}: on worker-1`]);
    this.tell(deployment, "deployment", deployment);
    this.announce("deployments", deployment.id);
    setTimeout(() => this.runStage(app, deployment, index + 1), this.stageMs);
  }

  /** @param {Schemas["Deployment"]} deployment @param {string[]} texts */
  say(deployment, texts) {
    const log = this.logs.get(deployment.id) ?? [];
    for (const text of texts) {
      /** @type {Schemas["LogLine"]} */
      const line = {
        seq: log.length + 1,
        at: ago(0),
        stream: texts === BUILD_LINES ? "stdout" : "system",
        text,
      };
      log.push(line);
      this.tell(deployment, "log", line, line.seq);
    }
  }

  /** @param {Schemas["App"]} app @param {Schemas["Deployment"]} deployment */
  finish(app, deployment) {
    const number = (app.release?.number ?? 0) + 1;
    Object.assign(deployment, { state: "live", release: number, finished_at: ago(0) });
    app.release = { number, created_at: ago(0) };
    app.status = "running";
    app.instances = {
      wanted: app.instances.wanted,
      healthy: app.instances.wanted,
      unknown: 0,
      observed_at: ago(0),
      unknown_since: null,
    };
    app.certificate = {
      state: "issued",
      not_after: ago(-90 * 86_400),
      issuer: "Pebble Intermediate CA",
      error: null,
    };
    Object.assign(app.deployment ?? {}, { state: "live", finished_at: deployment.finished_at });
    this.tell(deployment, "end", deployment);
    this.announce("deployments", deployment.id);
    this.announce("apps", app.id);
  }

  /** @param {string} method @param {string} key @param {string | undefined} part @param {Response} response */
  answerNodes(method, key, part, response) {
    if (key === "") return send(response, 200, list(this.nodes));
    const node = this.nodes.find((one) => one.name === key || one.id === key);
    if (!node) return send(response, 404, problem("node_unknown", "There is no such node."));
    if (part === "history") return send(response, 200, list(nodeHistory(node)));
    if (method === "GET" || part === "check") return send(response, 200, node);
    if (node.instances > 0)
      return send(
        response,
        409,
        problem("node_has_instances", `${node.name} still runs ${node.instances} instances.`),
      );
    this.nodes = this.nodes.filter((one) => one !== node);
    return send(response, 204);
  }

  /**
   * @param {string} method @param {string} key @param {string} part @param {() => any} json
   * @param {Response} response
   */
  answerProjects(method, key, part, json, response) {
    if (method === "POST" && !part) {
      const { slug, name = slug } = json();
      const taken = problem("slug_taken", `There is a project ${slug} already.`, "slug");
      if (this.projects.some((one) => one.slug === slug)) return send(response, 409, taken);
      this.projects.push(makeProject(slug, { name }));
    }
    const counted = this.projects.map((project) => ({
      ...project,
      apps: this.apps.filter((app) => app.project.slug === project.slug).length,
    }));
    if (key === "")
      return send(
        response,
        method === "POST" ? 201 : 200,
        method === "POST" ? counted.at(-1) : list(counted),
      );
    if (part) return send(response, 200, makeNetwork(key, this.apps));
    const project = this.projects.find((one) => one.slug === key);
    if (method === "PATCH" && project) Object.assign(project, json());
    if (method === "DELETE") {
      this.projects = this.projects.filter((one) => one !== project);
      return send(response, 204);
    }
    return send(response, 200, project);
  }

  /** @param {string} method @param {string} key @param {() => any} json @param {Response} response */
  answerNodeTokens(method, key, json, response) {
    if (method === "GET" && key)
      return send(
        response,
        200,
        this.nodeTokens.find((token) => token.id === key),
      );
    if (method === "GET") return send(response, 200, list(this.nodeTokens));
    if (method === "DELETE") {
      this.nodeTokens = this.nodeTokens.filter((token) => token.id !== key);
      return send(response, 204);
    }
    const { roles, name, labels = {}, zone } = json();
    const token = { id: id(), name, roles, labels, zone, created_at: ago(0), expires_at: ago(-3600) };
    this.nodeTokens.push(token);
    setTimeout(() => {
      const node = makeNode(name ?? "worker-4", { roles, labels, status_since: ago(0), created_at: ago(0) });
      this.nodes.push(node);
      Object.assign(token, { used_at: ago(0), used_by: node.name });
      this.announce("nodes", token.id);
    }, 6 * this.stageMs);
    const secret = `whj_${"5f1c9a7e".repeat(4)}`;
    const command = `printf '%s\\n' '${secret}' | sudo wisehosting-mesh join`;
    const nixos = "{ wisehosting, ... }:\n{\n  imports = [ wisehosting.nixosModules.worker ];\n}\n";
    const { expires_at } = token;
    return send(response, 201, { id: token.id, token: secret, roles, name, expires_at, command, nixos });
  }

  /** @param {string} method @param {string} key @param {() => any} json @param {Response} response */
  answerTokens(method, key, json, response) {
    if (method === "GET") return send(response, 200, list(this.tokens));
    if (method === "DELETE") {
      this.tokens = this.tokens.filter((token) => token.id !== key);
      return send(response, 204);
    }
    const token = {
      id: id(),
      name: json().name,
      created_at: ago(0),
      expires_at: ago(-90 * 86_400),
      last_used_at: null,
    };
    this.tokens.push(token);
    return send(response, 201, { ...token, token: `wht_${"a83fe01c".repeat(8)}` });
  }

  /** @param {string} method @param {string} app @param {() => Schemas["GitAccessRequest"]} json @param {Response} response */
  answerGitAccess(method, app, json, response) {
    if (method === "DELETE") {
      this.gitAccess.delete(app);
      return send(response, 204);
    }
    if (method === "POST") {
      const body = json();
      this.gitAccess.set(app, {
        kind: body.kind,
        host: body.host,
        username: body.kind === "token" ? body.username : undefined,
        public_key: body.kind === "key" ? "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMOA" : undefined,
        host_keys: [],
        updated_by: session.user.email,
        updated_at: ago(0),
      });
    }
    return send(response, 200, { access: this.gitAccess.get(app) ?? null });
  }

  /**
   * @param {string | undefined} method
   * @param {string | undefined} key
   * @param {string | undefined} part
   * @param {Response} response
   */
  answerCertificates(method, key, part, response) {
    if (!key) return send(response, 200, list(this.certificates));
    if (key === "imports" && method === "GET") return send(response, 200, list(this.imports));
    if (key === "imports" && method === "POST") return send(response, 201, makeImported());
    const found = this.certificates.find(({ host }) => host === key);
    if (!found) return send(response, 404, problem("not_found", `there is no certificate for ${key}`));
    if (part === "reissue") found.next = { at: null, what: "a new one is being ordered" };
    return send(response, 200, found);
  }

  /** @param {string} method @param {string} key @param {string} part @param {() => Schemas["RegistryRequest"] & Schemas["KeepImagesRequest"]} json @param {Response} response */
  answerRegistries(method, key, part, json, response) {
    if (method === "GET") return send(response, 200, list(this.registries));
    const others = (/** @type {string} */ host) => this.registries.filter((one) => one.host !== host);
    const used = this.registries.find((one) => one.host === key);
    if (part === "images" && used) {
      const path = method === "POST" ? (json().path ?? "wisehosting") : null;
      const stored = { ...used, images_path: path };
      const unused = others(key).map((one) => ({ ...one, images_path: null }));
      this.registries = [...unused, stored];
      return method === "POST" ? send(response, 200, stored) : send(response, 204);
    }
    if (method === "DELETE") {
      this.registries = others(key);
      return send(response, 204);
    }
    const { host, username } = json();
    const by = { updated_by: session.user.email, updated_at: ago(0) };
    const images = { images_path: null, images_kept: 0, images_waiting: 0, image_problems: [] };
    const stored = { host, username, ...by, ...images };
    this.registries = [...others(host), stored];
    return send(response, 200, stored);
  }

  /** @param {Schemas["App"]} app @param {Schemas["Deployment"][]} own @returns {Schemas["Activity"][]} */
  activity(app, own) {
    const made = own.map((deployment) => ({
      id: id(),
      at: deployment.created_at,
      actor: `user:${session.user.email}`,
      action: "deployment.create",
      text: `${session.user.name} began deployment ${deployment.number}`,
      deployment: deployment.id,
    }));
    const created = { at: app.created_at, actor: `user:${session.user.email}`, action: "app.create" };
    return [
      ...made,
      { ...created, id: id(), text: `${session.user.name} created the app`, deployment: null },
    ];
  }

  audit() {
    const actions = [
      ["deployment.create", "docs", { number: 9, source: "git", ref: "main" }],
      ["env.update", "shop", { set: ["SMTP_HOST"], unset: [] }],
      ["app.update", "orders-api", { replicas: 2 }],
      ["node_token.create", "worker-3", { roles: ["worker"] }],
      ["session.create", session.user.email, null],
      ["deployment.rollback", "catalog-search", { release: 11 }],
    ];
    return actions.map(([action, target, detail], index) => ({
      id: id(),
      at: ago(90 * (index + 1) ** 3),
      actor: session.user.email,
      action,
      target,
      detail,
    }));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const flag = process.argv.indexOf("--port");
  const port = flag === -1 ? 4173 : Number(process.argv[flag + 1]);
  const firstRun = process.argv.includes("--first-run");
  startMock({ firstRun }).server.listen(port, "127.0.0.1", () => {
    console.log(`http://127.0.0.1:${port}${firstRun ? `/setup#code=${SETUP_CODE}` : "/"} (zone ${ZONE})`);
  });
}
