import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, unwrap } from "./client";
import { keys } from "./keys";
import { pollInterval } from "./live";
import type { components } from "./schema.gen";

type Schemas = components["schemas"];
export type PrivateNetwork = Schemas["NetworkView"];
export type PrivateApp = Schemas["PrivateApp"];
export type NetworkGrant = Schemas["Grant"];
export type EgressRule = Schemas["EgressRule"];

/** What a project reaches by name. */
export const privateNetworkQuery = (project: string) =>
  queryOptions({
    queryKey: [...keys.privateNetwork, project],
    queryFn: ({ signal }) =>
      unwrap(api.GET("/api/v1/projects/{project}/network", { params: { path: { project } }, signal })),
    refetchInterval: pollInterval,
  });

/** A change of one project is seen in the others as well. */
function useNetworkChange<V, R>(mutationFn: (value: V) => Promise<R>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn,
    onSuccess: () => client.invalidateQueries({ queryKey: keys.privateNetwork }),
  });
}

/** Who may reach what: all apps of the project when `app` is absent. */
export interface Granting {
  from: string;
  project: string;
  app?: string;
}

export const useGrant = () =>
  useNetworkChange(({ from, ...body }: Granting) =>
    unwrap(
      api.POST("/api/v1/projects/{project}/network/grants", { params: { path: { project: from } }, body }),
    ),
  );

export const useRevokeGrant = () =>
  useNetworkChange(({ from, to_project, to_app }: NetworkGrant) =>
    unwrap(
      api.DELETE("/api/v1/projects/{project}/network/grants", {
        params: { path: { project: from }, query: { project: to_project, ...(to_app && { app: to_app }) } },
      }),
    ),
  );

/** Anywhere public with `null`, and nowhere with an empty list. */
export const useSetEgress = (project: string) =>
  useNetworkChange((egress: EgressRule[] | null) =>
    unwrap(
      api.PUT("/api/v1/projects/{project}/network/egress", {
        params: { path: { project } },
        body: { egress },
      }),
    ),
  );
