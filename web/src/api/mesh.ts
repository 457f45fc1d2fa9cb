import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, unwrap } from "./client";
import { keys } from "./keys";
import type { components } from "./schema.gen";

type Schemas = components["schemas"];
export type Mesh = Schemas["Mesh"];
export type MeshNode = Schemas["MeshNode"];
/** One side of a tunnel between two nodes. */
export type MeshLink = Schemas["MeshLink"];
export type MeshFinding = Schemas["MeshFinding"];

/** Nodes report every 30 s, and when a peer goes or comes back. */
const REPORT_MS = 10_000;

/** All nodes, and the links of one of them or of all. */
export const meshQuery = (node?: string) =>
  queryOptions({
    queryKey: [...keys.mesh, node ?? ""],
    queryFn: ({ signal }) =>
      unwrap(api.GET("/api/v1/mesh", { params: { query: node ? { node } : {} }, signal })),
    refetchInterval: REPORT_MS,
  });

/** Asks these nodes for other keys of their tunnels, or all if none is named. */
export function useRotateMeshKeys() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (nodes: string[]) =>
      unwrap(api.POST("/api/v1/mesh/rotations", { body: { nodes, all: nodes.length === 0 } })),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.mesh }),
  });
}
