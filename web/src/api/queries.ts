import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, everyPage, unwrap } from "./client";
import { keys } from "./keys";
import { pollInterval } from "./live";
import type { Deployment, Session } from "./types";

const live = { refetchInterval: pollInterval } as const;
const PAGE = 50;
/** The most that the API gives at once. */
const LARGEST = 200;

export const setupQuery = queryOptions({
  queryKey: ["setup"],
  queryFn: ({ signal }) => unwrap(api.GET("/api/v1/setup", { signal })),
  staleTime: 0,
});

export const sessionQuery = queryOptions({
  queryKey: keys.session,
  queryFn: ({ signal }) => unwrap(api.GET("/api/v1/session", { signal })),
  staleTime: 5 * 60_000,
});

export const appsQuery = queryOptions({
  queryKey: [...keys.apps, "list"],
  queryFn: ({ signal }) =>
    everyPage((cursor) =>
      unwrap(api.GET("/api/v1/apps", { params: { query: { cursor, limit: LARGEST } }, signal })),
    ),
  ...live,
});

export const appQuery = (app: string) =>
  queryOptions({
    queryKey: [...keys.apps, app],
    queryFn: ({ signal }) => unwrap(api.GET("/api/v1/apps/{app}", { params: { path: { app } }, signal })),
    ...live,
  });

/** What is done with the requests of an app, or of one of its domains. */
export const routesQuery = (app: string, domain?: string) =>
  queryOptions({
    queryKey: [...keys.apps, app, "routes", domain ?? ""],
    queryFn: ({ signal }) =>
      domain === undefined
        ? unwrap(api.GET("/api/v1/apps/{app}/routes", { params: { path: { app } }, signal }))
        : unwrap(
            api.GET("/api/v1/apps/{app}/domains/{hostname}/routes", {
              params: { path: { app, hostname: domain } },
              signal,
            }),
          ),
    ...live,
  });

export const tombstonesQuery = queryOptions({
  queryKey: keys.tombstones,
  queryFn: async ({ signal }) => (await unwrap(api.GET("/api/v1/tombstones", { signal }))).items,
  ...live,
});

export const instancesQuery = (app: string) =>
  queryOptions({
    queryKey: [...keys.instances, app],
    queryFn: async ({ signal }) =>
      (await unwrap(api.GET("/api/v1/apps/{app}/instances", { params: { path: { app } }, signal }))).items,
    ...live,
  });

export const deploymentsQuery = (app: string) =>
  infiniteQueryOptions({
    queryKey: [...keys.deployments, "of", app],
    queryFn: ({ signal, pageParam: cursor }) =>
      unwrap(
        api.GET("/api/v1/apps/{app}/deployments", {
          params: { path: { app }, query: { cursor, limit: PAGE } },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    ...live,
  });

export const deploymentQuery = (id: string) =>
  queryOptions({
    queryKey: [...keys.deployments, id],
    queryFn: ({ signal }) =>
      unwrap(api.GET("/api/v1/deployments/{id}", { params: { path: { id } }, signal })),
    refetchInterval: ({ state }) => (state.data && isFinal(state.data) ? false : pollInterval()),
  });

/** Builds that run or wait, as they will start. */
export const queueQuery = queryOptions({
  queryKey: keys.jobs,
  queryFn: async ({ signal }) => (await unwrap(api.GET("/api/v1/jobs", { signal }))).items,
  ...live,
});

/** An examination takes seconds and is asked for by hand: it is never repeated by itself. */
export const doctorQuery = (host: string) =>
  queryOptions({
    queryKey: [...keys.doctor, host],
    queryFn: ({ signal }) => unwrap(api.POST("/api/v1/doctor", { body: { host }, signal })),
    staleTime: Number.POSITIVE_INFINITY,
    retry: false,
  });

export const releasesQuery = (app: string) =>
  infiniteQueryOptions({
    queryKey: [...keys.releases, app],
    queryFn: ({ signal, pageParam: cursor }) =>
      unwrap(
        api.GET("/api/v1/apps/{app}/releases", {
          params: { path: { app }, query: { cursor, limit: PAGE } },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    ...live,
  });

/** Releases never change, and so neither does what differs between them. */
export const comparisonQuery = (app: string, a: number, b: number) =>
  queryOptions({
    queryKey: [...keys.releases, app, "diff", a, b],
    queryFn: ({ signal }) =>
      unwrap(
        api.GET("/api/v1/apps/{app}/releases/{a}/diff/{b}", { params: { path: { app, a, b } }, signal }),
      ),
    staleTime: Number.POSITIVE_INFINITY,
  });

/** Under its app: whatever changes one changes the other. */
export const pendingQuery = (app: string) =>
  queryOptions({
    queryKey: [...keys.apps, app, "pending"],
    queryFn: ({ signal }) =>
      unwrap(api.GET("/api/v1/apps/{app}/pending", { params: { path: { app } }, signal })),
    ...live,
  });

/** Values are never kept in this cache: revealing is a request of its own. */
export const envQuery = (app: string) =>
  queryOptions({
    queryKey: [...keys.env, app],
    queryFn: ({ signal }) =>
      unwrap(
        api.GET("/api/v1/apps/{app}/env", { params: { path: { app }, query: { reveal: false } }, signal }),
      ),
  });

export const gitAccessQuery = (app: string) =>
  queryOptions({
    queryKey: [...keys.gitAccess, app],
    queryFn: async ({ signal }) =>
      (await unwrap(api.GET("/api/v1/apps/{app}/git-access", { params: { path: { app } }, signal })))
        .access ?? null,
  });

export const projectsQuery = queryOptions({
  queryKey: keys.projects,
  queryFn: ({ signal }) =>
    everyPage((cursor) =>
      unwrap(api.GET("/api/v1/projects", { params: { query: { cursor, limit: LARGEST } }, signal })),
    ),
  ...live,
});

export const nodesQuery = queryOptions({
  queryKey: [...keys.nodes, "list"],
  queryFn: ({ signal }) =>
    everyPage((cursor) =>
      unwrap(api.GET("/api/v1/nodes", { params: { query: { cursor, limit: LARGEST } }, signal })),
    ),
  ...live,
});

export const nodeQuery = (node: string) =>
  queryOptions({
    queryKey: [...keys.nodes, node],
    queryFn: ({ signal }) => unwrap(api.GET("/api/v1/nodes/{node}", { params: { path: { node } }, signal })),
    ...live,
  });

/** When it went and came back; the newest first. */
export const nodeHistoryQuery = (node: string) =>
  queryOptions({
    queryKey: [...keys.nodes, node, "history"],
    queryFn: async ({ signal }) => {
      const params = { path: { node }, query: { limit: 50 } };
      return (await unwrap(api.GET("/api/v1/nodes/{node}/history", { params, signal }))).items;
    },
    ...live,
  });

/** One join token while somebody waits for its host. */
export const nodeTokenQuery = (id: string, everyMs: number) =>
  queryOptions({
    queryKey: [...keys.nodeTokens, id],
    queryFn: ({ signal }) =>
      unwrap(api.GET("/api/v1/node-tokens/{id}", { params: { path: { id } }, signal })),
    refetchInterval: everyMs,
  });

export const nodeTokensQuery = queryOptions({
  queryKey: keys.nodeTokens,
  queryFn: async ({ signal }) => (await unwrap(api.GET("/api/v1/node-tokens", { signal }))).items,
});

export const tokensQuery = queryOptions({
  queryKey: keys.tokens,
  queryFn: async ({ signal }) => (await unwrap(api.GET("/api/v1/tokens", { signal }))).items,
});

export const certificatesQuery = queryOptions({
  queryKey: [...keys.certificates, "list"],
  queryFn: async ({ signal }) => (await unwrap(api.GET("/api/v1/certificates", { signal }))).items,
  ...live,
});

export const certificateQuery = (host: string) =>
  queryOptions({
    queryKey: [...keys.certificates, "of", host],
    queryFn: ({ signal }) =>
      unwrap(api.GET("/api/v1/certificates/{host}", { params: { path: { host } }, signal })),
    ...live,
  });

export const importsQuery = queryOptions({
  queryKey: [...keys.certificates, "imports"],
  queryFn: async ({ signal }) => (await unwrap(api.GET("/api/v1/certificates/imports", { signal }))).items,
  ...live,
});

export const noticesQuery = (resolved: boolean) =>
  queryOptions({
    queryKey: [...keys.notices, resolved],
    queryFn: async ({ signal }) =>
      (await unwrap(api.GET("/api/v1/notices", { params: { query: { resolved } }, signal }))).items,
    ...live,
  });

export const registriesQuery = queryOptions({
  queryKey: keys.registries,
  queryFn: async ({ signal }) => (await unwrap(api.GET("/api/v1/registries", { signal }))).items,
});

export const dnsProvidersQuery = queryOptions({
  queryKey: keys.dnsProviders,
  queryFn: async ({ signal }) => (await unwrap(api.GET("/api/v1/dns-providers", { signal }))).items,
});

export const auditQuery = infiniteQueryOptions({
  queryKey: keys.audit,
  queryFn: ({ signal, pageParam: cursor }) =>
    unwrap(api.GET("/api/v1/audit", { params: { query: { cursor, limit: PAGE } }, signal })),
  initialPageParam: undefined as string | undefined,
  getNextPageParam: (page) => page.next ?? undefined,
});

export const activityQuery = (app: string) =>
  infiniteQueryOptions({
    queryKey: [...keys.activity, app],
    queryFn: ({ signal, pageParam: cursor }) =>
      unwrap(
        api.GET("/api/v1/apps/{app}/activity", {
          params: { path: { app }, query: { cursor, limit: PAGE } },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    ...live,
  });

export function mayDeploy(session: Session | undefined): boolean {
  return session !== undefined && session.organization.role !== "viewer";
}

/** Whoever runs programs in an app sees its secrets. */
export function mayRunPrograms({ organization }: Session): boolean {
  return organization.role !== "viewer";
}

export function isAdmin(session: Session | undefined): boolean {
  const role = session?.organization.role;
  return role === "admin" || role === "owner";
}

export function mayChangeApps(session: Session | undefined): boolean {
  return session !== undefined && session.organization.role !== "viewer";
}

export function isFinal({ state }: Pick<Deployment, "state">): boolean {
  return state !== "queued" && state !== "building" && state !== "rolling-out";
}
