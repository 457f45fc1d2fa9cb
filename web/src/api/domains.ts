import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, unwrap } from "./client";
import { keys } from "./keys";
import { pollInterval } from "./live";
import type { Domain } from "./types";

export const domainsQuery = (app: string) =>
  queryOptions({
    queryKey: [...keys.domains, app],
    queryFn: async ({ signal }) =>
      (await unwrap(api.GET("/api/v1/apps/{app}/domains", { params: { path: { app } }, signal }))).items,
    refetchInterval: pollInterval,
  });

const at = (app: string, hostname: string) => ({ params: { path: { app, hostname } } });

/** A change of the app's domains; what came of one takes its place in the list at once. */
function useDomainChange<V, R extends Domain | undefined>(app: string, mutationFn: (value: V) => Promise<R>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn,
    onSuccess: (changed) => {
      if (changed && changed.app === app) {
        client.setQueryData<Domain[]>([...keys.domains, app], (domains) =>
          domains?.some(({ id }) => id === changed.id)
            ? domains.map((domain) => (domain.id === changed.id ? changed : domain))
            : [...(domains ?? []), changed],
        );
      }
      void client.invalidateQueries({ queryKey: keys.domains });
    },
  });
}

export const useAddDomain = (app: string) =>
  useDomainChange(app, (hostname: string) =>
    unwrap(api.POST("/api/v1/apps/{app}/domains", { params: { path: { app } }, body: { hostname } })),
  );

export const useVerifyDomain = (app: string) =>
  useDomainChange(app, (hostname: string) =>
    unwrap(api.POST("/api/v1/apps/{app}/domains/{hostname}/verify", at(app, hostname))),
  );

export const useRemoveDomain = (app: string) =>
  useDomainChange(app, async (hostname: string) => {
    await unwrap(api.DELETE("/api/v1/apps/{app}/domains/{hostname}", at(app, hostname)));
    return undefined;
  });

export const useMoveDomain = (app: string) =>
  useDomainChange(app, ({ hostname, to }: { hostname: string; to: string }) =>
    unwrap(api.PATCH("/api/v1/apps/{app}/domains/{hostname}", { ...at(app, hostname), body: { app: to } })),
  );

export interface NewPath {
  path: string;
  app: string;
  strip_prefix: boolean;
}

export const usePutPath = (app: string, hostname: string) =>
  useDomainChange(app, (body: NewPath) =>
    unwrap(api.POST("/api/v1/apps/{app}/domains/{hostname}/paths", { ...at(app, hostname), body })),
  );

export const useRemovePath = (app: string, hostname: string) =>
  useDomainChange(app, async (path: string) => {
    await unwrap(
      api.DELETE("/api/v1/apps/{app}/domains/{hostname}/paths/{path}", {
        params: { path: { app, hostname, path } },
      }),
    );
    return undefined;
  });
