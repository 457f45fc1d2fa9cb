import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, unwrap } from "./client";
import { keys } from "./keys";
import { pollInterval } from "./live";
import type { components } from "./schema.gen";

type Schemas = components["schemas"];
export type RouteTable = Schemas["RouteTable"];
export type RouteView = Schemas["RouteView"];
export type RouteConsumer = Schemas["RouteConsumer"];
export type RouteToken = Schemas["RouteToken"];

export const routesQuery = (worker: string | undefined, search: string) =>
  queryOptions({
    queryKey: [...keys.routes, worker, search],
    queryFn: ({ signal }) =>
      unwrap(
        api.GET("/api/v1/routes", {
          params: { query: { ...(worker && { worker }), ...(search && { search }) } },
          signal,
        }),
      ),
    placeholderData: (before) => before,
    refetchInterval: pollInterval,
  });

export const routeTokensQuery = queryOptions({
  queryKey: keys.routeTokens,
  queryFn: async ({ signal }) => (await unwrap(api.GET("/api/v1/route-tokens", { signal }))).items,
});

function useTokenChange<V, R>(mutationFn: (value: V) => Promise<R>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn,
    onSuccess: () => client.invalidateQueries({ queryKey: keys.routeTokens }),
  });
}

export const useCreateRouteToken = () =>
  useTokenChange((body: Schemas["RouteTokenRequest"]) => unwrap(api.POST("/api/v1/route-tokens", { body })));

export const useRotateRouteToken = () =>
  useTokenChange((id: string) =>
    unwrap(api.POST("/api/v1/route-tokens/{id}/rotate", { params: { path: { id } }, body: {} })),
  );

export const useDeleteRouteToken = () =>
  useTokenChange((id: string) =>
    unwrap(api.DELETE("/api/v1/route-tokens/{id}", { params: { path: { id } } })),
  );
