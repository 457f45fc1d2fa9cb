import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "./client";
import { keys } from "./keys";

export const RANGES = ["1h", "6h", "24h", "7d", "30d"] as const;
export type Range = (typeof RANGES)[number];
export type StatusClass = "1xx" | "2xx" | "3xx" | "4xx" | "5xx";

/** What was counted in a time. */
export interface TrafficSum {
  requests: Record<StatusClass, number>;
  received_bytes: number;
  sent_bytes: number;
  /** Attempts at an instance that brought no answer. */
  upstream_errors: number;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
}

/** One step of the range, from `at` on. */
export interface TrafficPoint extends TrafficSum {
  at: string;
}

export interface PathTraffic {
  path: string;
  requests: number;
  errors: number;
  mean_ms: number;
}

export interface TrafficSource {
  node: string;
  agent: string;
  reported_at: string;
}

export interface Traffic {
  range: string;
  step_s: number;
  from: string;
  until: string;
  /** Steps without requests are left out. */
  points: TrafficPoint[];
  total: TrafficSum;
  paths: PathTraffic[];
  sources: TrafficSource[];
}

/** A request that was kept whole. */
export interface AccessSample {
  id: string;
  at: string;
  method: string;
  host: string;
  path: string;
  status: number;
  took_ms: number;
  received_bytes: number;
  sent_bytes: number;
  client: string | null;
  protocol: string;
  tls: boolean;
  user_agent: string | null;
  referer: string | null;
  upstream: string | null;
  node: string;
}

export interface AccessSamples {
  items: AccessSample[];
  next: string | null;
  kept_days: number;
}

/** Which of the kept requests are wanted, in the names of the API; what is absent may be anything. */
export const FILTERS = ["status", "method", "path", "host", "client", "slower_than_ms"] as const;
export type FilterName = (typeof FILTERS)[number];
export type Filters = Partial<Record<FilterName, string>>;

/** Agents report this often. */
const REPORT_MS = 10_000;
const FOLLOW_MS = 2_000;
const PAGE = 50;

type Get = (path: string, init: object) => Promise<{ data?: unknown; error?: unknown; response: Response }>;

async function get<T>(app: string, part: string, query: object, signal: AbortSignal): Promise<T> {
  const path = `/api/v1/apps/{app}/${part}`;
  return (await unwrap((api.GET as Get)(path, { params: { path: { app }, query }, signal }))) as T;
}

/** What was shown before stays until the answer is there, unless it is another app's. */
function unlessOf(app: string) {
  return <T>(before: T | undefined, query: { queryKey: readonly unknown[] } | undefined) =>
    query?.queryKey[2] === app ? before : undefined;
}

export const trafficQuery = (app: string, range: Range) =>
  queryOptions({
    queryKey: [...keys.traffic, "sums", app, range],
    queryFn: ({ signal }) => get<Traffic>(app, "traffic", { range }, signal),
    placeholderData: unlessOf(app),
    refetchInterval: REPORT_MS,
  });

/** The newest first. Following fetches all pages anew each time, so that whoever follows keeps to one. */
export const requestsQuery = (app: string, filters: Filters, follow: boolean) =>
  infiniteQueryOptions({
    queryKey: [...keys.traffic, "requests", app, filters],
    queryFn: ({ signal, pageParam: before }) =>
      get<AccessSamples>(app, "requests", { ...filters, before, limit: PAGE }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    placeholderData: unlessOf(app),
    refetchInterval: follow ? FOLLOW_MS : false,
  });
