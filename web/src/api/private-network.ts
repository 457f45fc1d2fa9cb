import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, unwrap } from "./client";
import { keys } from "./keys";
import { pollInterval } from "./live";
import type { components } from "./schema.gen";

type Schemas = components["schemas"];
export type PrivateNetwork = Schemas["NetworkView"];
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

export function useRevokeGrant() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ from, to_project, to_app }: NetworkGrant) =>
      unwrap(
        api.DELETE("/api/v1/projects/{project}/network/grants", {
          params: { path: { project: from }, query: { project: to_project, ...(to_app && { app: to_app }) } },
        }),
      ),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.privateNetwork }),
  });
}
