// Traffic in the shapes of the API, for the mock server and the unit tests.
import { ago, id } from "./data.mjs";

const HOUR = 3600;
/** @type {Record<string, { seconds: number, step: number }>} */
const ranges = {
  "1h": { seconds: HOUR, step: 60 },
  "6h": { seconds: 6 * HOUR, step: 120 },
  "24h": { seconds: 24 * HOUR, step: 300 },
  "7d": { seconds: 168 * HOUR, step: HOUR },
  "30d": { seconds: 720 * HOUR, step: 4 * HOUR },
};

/**
 * @param {Partial<import("../src/api/traffic").TrafficSum>} [over]
 * @returns {import("../src/api/traffic").TrafficSum}
 */
export const makeSum = (over = {}) => ({
  requests: { "1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0 },
  received_bytes: 0,
  sent_bytes: 0,
  connections: 0,
  upstream_errors: 0,
  p50_ms: null,
  p95_ms: null,
  p99_ms: null,
  ...over,
});

/** @param {string} at @param {number} wave between 0 and 1 @param {number} step @param {number} errors */
function makePoint(at, wave, step, errors) {
  const requests = {
    "1xx": 0,
    "2xx": Math.round(wave * step * 4),
    "3xx": Math.round(wave * step * 0.5),
    "4xx": Math.round(wave * step * 0.3),
    "5xx": errors,
  };
  return {
    at,
    ...makeSum({
      requests,
      received_bytes: requests["2xx"] * 700,
      sent_bytes: requests["2xx"] * 18_000,
      upstream_errors: errors > 10 ? 3 : 0,
      p50_ms: 8 + wave * 9,
      p95_ms: 40 + wave * 70 + errors,
      p99_ms: 120 + wave * 160 + errors * 4,
    }),
  };
}

/**
 * A day's rise and fall, with a burst of errors and a gap.
 *
 * @param {string} [range]
 * @param {Partial<import("../src/api/traffic").Traffic>} [over]
 * @returns {import("../src/api/traffic").Traffic}
 */
export function makeTraffic(range = "24h", over = {}) {
  const { seconds, step } = ranges[range] ?? { seconds: 24 * HOUR, step: 300 };
  const slots = seconds / step;
  const end = Math.floor(Date.now() / 1000 / step) * step * 1000;
  const points = Array.from({ length: slots }, (_, slot) => slot)
    .filter((slot) => slot < slots * 0.3 || slot > slots * 0.34)
    .map((slot) => {
      const wave = 0.55 + 0.3 * Math.sin(slot / (slots / 9)) + 0.12 * Math.sin(slot * 2.3);
      const burst = slot > slots * 0.7 && slot < slots * 0.73 ? step * 0.4 : 0;
      const at = new Date(end - (slots - 1 - slot) * step * 1000).toISOString();
      return makePoint(at, wave, step, Math.round(burst + (slot % 11 === 0 ? 1 : 0)));
    });
  const total = makeSum({ p50_ms: 13.2, p95_ms: 88.4, p99_ms: 412 });
  for (const point of points) {
    for (const name of /** @type {const} */ (["1xx", "2xx", "3xx", "4xx", "5xx"]))
      total.requests[name] += point.requests[name];
    for (const name of /** @type {const} */ (["received_bytes", "sent_bytes", "upstream_errors"]))
      total[name] += point[name];
  }
  const all = total.requests["2xx"];
  return {
    range: /** @type {import("../src/api/traffic").Range} */ (range),
    step_s: step,
    from: ago(seconds),
    until: ago(0),
    points,
    total,
    paths: [
      { path: "/", requests: Math.round(all * 0.4), errors: 0, mean_ms: 6.2 },
      {
        path: "/products/*",
        requests: Math.round(all * 0.3),
        errors: Math.round(all * 0.002),
        mean_ms: 21.7,
      },
      { path: "/api/cart", requests: Math.round(all * 0.12), errors: 0, mean_ms: 34 },
      { path: "/checkout", requests: Math.round(all * 0.02), errors: Math.round(all * 0.003), mean_ms: 1240 },
    ],
    sources: [
      { node: "edge-1", agent: "proxy", reported_at: ago(4) },
      { node: "worker-1", agent: "ingress", reported_at: ago(7) },
    ],
    ...over,
  };
}

/**
 * @param {Partial<import("../src/api/traffic").AccessSample>} [over]
 * @returns {import("../src/api/traffic").AccessSample}
 */
export const makeSample = (over = {}) => ({
  id: id(),
  at: ago(3),
  method: "GET",
  host: "shop.route.example.com",
  path: "/",
  status: 200,
  took_ms: 12.4,
  received_bytes: 0,
  sent_bytes: 18_204,
  client: "203.0.113.0/24",
  protocol: "HTTP/2.0",
  tls: true,
  user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  referer: null,
  upstream: "10.88.0.2:8080",
  node: "edge-1",
  ...over,
});

const kinds = [
  { path: "/", sent_bytes: 18_204 },
  { path: "/products/1841", took_ms: 31.8 },
  { path: "/api/cart", method: "POST", status: 201, took_ms: 44.1, received_bytes: 312, sent_bytes: 96 },
  { path: "/checkout", method: "POST", status: 502, took_ms: 3012, sent_bytes: 0, upstream: null },
  { path: "/old-shop", status: 308, took_ms: 0.3, sent_bytes: 0, upstream: null },
  { path: "/wp-login.php", status: 404, took_ms: 2.2, client: "2001:db8:77::/48", user_agent: null },
  { path: "/assets/products/a-very-long-name-of-a-picture-that-does-not-fit-1024x768.webp", status: 304 },
];

/** @param {number} amount the newest first */
export const makeSamples = (amount) =>
  Array.from({ length: amount }, (_, index) =>
    makeSample({ ...kinds[(index * 5) % 7], at: ago(index * 4 + 1) }),
  );

/**
 * As the control plane picks them, but for clients: those are compared as they are written.
 *
 * @param {import("../src/api/traffic").AccessSample[]} samples @param {URLSearchParams} query
 * @returns {import("../src/api/traffic").AccessSamples}
 */
export function pickSamples(samples, query) {
  /** @param {string | null | undefined} known @param {string | null} asked */
  const is = (known, asked) => !asked || known?.toLowerCase() === asked.toLowerCase();
  const wanted = samples.filter(
    (sample) =>
      String(sample.status).startsWith((query.get("status") ?? "").replace("xx", "")) &&
      is(sample.method, query.get("method")) &&
      sample.path.startsWith(query.get("path") ?? "") &&
      is(sample.host, query.get("host")) &&
      is(sample.client, query.get("client")) &&
      sample.took_ms > Number(query.get("slower_than_ms") ?? -1),
  );
  const before = query.get("before");
  const first = before ? wanted.findIndex(({ id }) => id === before) + 1 : 0;
  const items = wanted.slice(first, first + Number(query.get("limit") ?? 50));
  const more = first + items.length < wanted.length;
  return {
    items,
    next: more ? (items.at(-1)?.id ?? null) : null,
    kept_days: 7,
    kept_since: samples.at(-1)?.at ?? null,
  };
}
