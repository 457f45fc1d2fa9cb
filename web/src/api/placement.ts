import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, unwrap } from "./client";
import { keys } from "./keys";
import { pollInterval } from "./live";
import type { components } from "./schema.gen";

type Schemas = components["schemas"];
export type NodePlacement = Schemas["NodePlacement"];
export type NodePlacementPatch = Schemas["NodePlacementPatch"];
export type Amount = Schemas["Amount"];
export type Drain = Schemas["Drain"];
export type DrainLeft = Schemas["DrainLeft"];
export type PlannedMove = Schemas["PlannedMove"];
export type Move = Schemas["Move"];

/** While something moves, every step of it is worth showing. */
const QUICK_MS = 2_000;

const at = (node: string) => ({ params: { path: { node } } });

export const placementsQuery = queryOptions({
  queryKey: [...keys.nodes, "placements"],
  queryFn: async ({ signal }) => (await unwrap(api.GET("/api/v1/placement/nodes", { signal }))).items,
  refetchInterval: pollInterval,
});

export const placementQuery = (node: string) =>
  queryOptions({
    queryKey: [...keys.nodes, node, "placement"],
    queryFn: ({ signal }) => unwrap(api.GET("/api/v1/nodes/{node}/placement", { ...at(node), signal })),
    refetchInterval: ({ state }) =>
      state.data?.drain && !state.data.drain.finished_at ? QUICK_MS : pollInterval(),
  });

export const drainPreviewQuery = (node: string) =>
  queryOptions({
    queryKey: [...keys.nodes, node, "drain-preview"],
    queryFn: async ({ signal }) =>
      (await unwrap(api.GET("/api/v1/nodes/{node}/drain/preview", { ...at(node), signal }))).items,
    gcTime: 0,
  });

export const rebalanceQuery = queryOptions({
  queryKey: [...keys.nodes, "rebalance-preview"],
  queryFn: async ({ signal }) => (await unwrap(api.GET("/api/v1/rebalance/preview", { signal }))).items,
  gcTime: 0,
});

export const isOpen = (move: Move) => move.state === "waiting" || move.state === "moving";

export const movesQuery = queryOptions({
  queryKey: [...keys.nodes, "moves"],
  queryFn: ({ signal }) => unwrap(api.GET("/api/v1/moves", { signal })),
  refetchInterval: ({ state }) => (state.data?.items.some(isOpen) ? QUICK_MS : pollInterval()),
});

function useNodeChange<V, R>(mutationFn: (value: V) => Promise<R>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn,
    onSuccess: () => client.invalidateQueries({ queryKey: keys.nodes }),
  });
}

export const useUpdatePlacement = (node: string) =>
  useNodeChange((body: NodePlacementPatch) =>
    unwrap(api.PATCH("/api/v1/nodes/{node}/placement", { ...at(node), body })),
  );

export const useCordon = (node: string) =>
  useNodeChange((cordon: boolean) =>
    cordon
      ? unwrap(api.POST("/api/v1/nodes/{node}/cordon", at(node)))
      : unwrap(api.POST("/api/v1/nodes/{node}/uncordon", at(node))),
  );

export const useDrain = (node: string) =>
  useNodeChange(() => unwrap(api.POST("/api/v1/nodes/{node}/drain", at(node))));

/** Takes one move back that has not begun. */
export const useCancelMove = () =>
  useNodeChange((id: string) => unwrap(api.DELETE("/api/v1/moves/{id}", { params: { path: { id } } })));

export const useRebalance = () =>
  useNodeChange((moves: PlannedMove[]) =>
    unwrap(
      api.POST("/api/v1/rebalance", {
        body: { moves: moves.map(({ instance, to, reason }) => ({ instance, to: to ?? "", reason })) },
      }),
    ),
  );
