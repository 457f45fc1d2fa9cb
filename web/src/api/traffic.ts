import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "./client";
import { keys } from "./keys";
import type { components } from "./schema.gen";

type Schemas = components["schemas"];
export type Range = Schemas["TrafficRange"];
export type Traffic = Schemas["Traffic"];
/** What was counted in a time. */
export type TrafficSum = Schemas["TrafficNumbers"];
export type TrafficPoint = Schemas["TrafficPoint"];
export type PathTraffic = Schemas["TrafficPath"];
export type StatusClass = keyof TrafficSum["requests"];
/** A request that was kept whole. */
export type AccessSample = Schemas["AccessedRequest"];
export type AccessSamples = Schemas["AccessedRequests"];

/** Which of the kept requests are wanted, in the names of the API; what is absent may be anything. */
export const FILTERS = ["status", "method", "path", "host", "client", "slower_than_ms"] as const;
export type FilterName = (typeof FILTERS)[number];
export type Filters = Partial<Record<FilterName, string>>;

/** Agents report this often. */
const REPORT_MS = 10_000;
const FOLLOW_MS = 2_000;
const PAGE = 50;

/** Whether no older page was asked for. */
export function isNewest(data: { pages: unknown[] } | undefined): boolean {
  return (data?.pages.length ?? 1) === 1;
}

/** What was shown before stays until the answer is there, unless it is another app's. */
function unlessOf(app: string) {
  return <T>(before: T | undefined, query: { queryKey: readonly unknown[] } | undefined) =>
    query?.queryKey[2] === app ? before : undefined;
}

export const trafficQuery = (app: string, range: Range) =>
  queryOptions({
    queryKey: [...keys.traffic, "sums", app, range],
    queryFn: ({ signal }) =>
      unwrap(api.GET("/api/v1/apps/{app}/traffic", { params: { path: { app }, query: { range } }, signal })),
    placeholderData: unlessOf(app),
    refetchInterval: REPORT_MS,
  });

/** The newest first. Following fetches all pages anew each time, and rows move: with older pages it rests. */
export const requestsQuery = (app: string, filters: Filters, follow: boolean) => {
  const { slower_than_ms, ...rest } = filters;
  const wanted = { ...rest, ...(slower_than_ms && { slower_than_ms: Number(slower_than_ms) }) };
  return infiniteQueryOptions({
    queryKey: [...keys.traffic, "requests", app, filters],
    queryFn: ({ signal, pageParam: before }) =>
      unwrap(
        api.GET("/api/v1/apps/{app}/requests", {
          params: { path: { app }, query: { ...wanted, before, limit: PAGE } },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    placeholderData: unlessOf(app),
    refetchInterval: ({ state }) => (follow && isNewest(state.data) ? FOLLOW_MS : false),
  });
};
