import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, unwrap } from "./client";
import { keys } from "./keys";
import type { components } from "./schema.gen";

type Schemas = components["schemas"];
export type Zone = Schemas["Zone"];

export const zonesQuery = queryOptions({
  queryKey: keys.zones,
  queryFn: async ({ signal }) => (await unwrap(api.GET("/api/v1/zones", { signal }))).items,
});

function useZoneChange<V, R>(mutationFn: (value: V) => Promise<R>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn,
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: keys.session });
      void client.invalidateQueries({ queryKey: keys.apps });
      return client.invalidateQueries({ queryKey: keys.zones });
    },
  });
}

export const useCreateZone = () =>
  useZoneChange((body: Schemas["ZoneRequest"]) => unwrap(api.POST("/api/v1/zones", { body })));

export const useUpdateZone = (zone: string) =>
  useZoneChange((body: Schemas["ZonePatch"]) =>
    unwrap(api.PATCH("/api/v1/zones/{zone}", { params: { path: { zone } }, body })),
  );

export const useDeleteZone = () =>
  useZoneChange((zone: string) => unwrap(api.DELETE("/api/v1/zones/{zone}", { params: { path: { zone } } })));

export const useMoveApp = (app: string) =>
  useZoneChange((zone: string) =>
    unwrap(api.POST("/api/v1/apps/{app}/zone", { params: { path: { app } }, body: { zone } })),
  );
