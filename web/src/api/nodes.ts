import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import type { Range } from "@/lib/chart";
import { api, unwrap } from "./client";
import { keys } from "./keys";
import { pollInterval } from "./live";
import type { components } from "./schema.gen";

type Schemas = components["schemas"];
/** How a host is doing. */
export type NodeNow = Schemas["NodeNow"];
export type NodePoint = Schemas["NodePoint"];
export type NodeSeries = Schemas["NodeSeries"];
export type Space = Schemas["Space"];
export type NodeInstance = Schemas["NodeInstance"];
export type NodeInstances = Schemas["NodeInstances"];
export type NodeHealing = Schemas["NodeHealing"];
export type WaitingInstance = Schemas["WaitingInstance"];
export type NodeStorage = Schemas["NodeStorage"];
export type CleanupPreview = Schemas["CleanupPreview"];
export type Cleanup = Schemas["Cleanup"];
/** A container that nobody knows. */
export type Stray = Schemas["Stray"];
export type Correction = Schemas["Correction"];
export type AgentLog = Schemas["AgentLog"];
export type AgentLine = Schemas["AgentLine"];
export type AgentLogLevel = Schemas["AgentLogLevel"];

/** Hosts tell this often. */
const TOLD_MS = 20_000;
/** While a clean-up runs. */
const QUICK_MS = 1_500;
/** While somebody looks at an agent's log. */
const FOLLOW_MS = 3_000;

const at = (node: string) => ({ path: { node } });

export const nodeNumbersQuery = (node: string, range: Range) =>
  queryOptions({
    queryKey: [...keys.nodes, node, "numbers", range],
    queryFn: ({ signal }) =>
      unwrap(api.GET("/api/v1/nodes/{node}/numbers", { params: { ...at(node), query: { range } }, signal })),
    placeholderData: (before, query) => (query?.queryKey[1] === node ? before : undefined),
    refetchInterval: TOLD_MS,
  });

export const nodeInstancesQuery = (node: string) =>
  queryOptions({
    queryKey: [...keys.nodes, node, "instances"],
    queryFn: ({ signal }) => unwrap(api.GET("/api/v1/nodes/{node}/instances", { params: at(node), signal })),
    refetchInterval: pollInterval,
  });

export const nodeHealingQuery = (node: string) =>
  queryOptions({
    queryKey: [...keys.nodes, node, "healing"],
    queryFn: ({ signal }) => unwrap(api.GET("/api/v1/nodes/{node}/healing", { params: at(node), signal })),
    refetchInterval: pollInterval,
  });

export const nodeStorageQuery = (node: string) =>
  queryOptions({
    queryKey: [...keys.nodes, node, "storage"],
    queryFn: ({ signal }) => unwrap(api.GET("/api/v1/nodes/{node}/storage", { params: at(node), signal })),
    refetchInterval: pollInterval,
  });

export const nodeStraysQuery = (node: string) =>
  queryOptions({
    queryKey: [...keys.nodes, node, "strays"],
    queryFn: async ({ signal }) =>
      (await unwrap(api.GET("/api/v1/nodes/{node}/strays", { params: at(node), signal }))).items,
    refetchInterval: pollInterval,
  });

/** The newest. */
export const nodeCorrectionsQuery = (node: string) =>
  queryOptions({
    queryKey: [...keys.nodes, node, "corrections"],
    queryFn: async ({ signal }) => {
      const params = { ...at(node), query: { limit: 20 } };
      return (await unwrap(api.GET("/api/v1/nodes/{node}/corrections", { params, signal }))).items;
    },
    refetchInterval: pollInterval,
  });

/** Asked of the worker each time. */
export const cleanupPreviewQuery = (node: string) =>
  queryOptions({
    queryKey: [...keys.nodes, node, "cleanup-preview"],
    queryFn: ({ signal }) => unwrap(api.GET("/api/v1/nodes/{node}/gc/preview", { params: at(node), signal })),
    gcTime: 0,
    retry: false,
  });

export const cleanupsQuery = (node: string) =>
  queryOptions({
    queryKey: [...keys.nodes, node, "cleanups"],
    queryFn: async ({ signal }) => {
      const params = { ...at(node), query: { limit: 10 } };
      return (await unwrap(api.GET("/api/v1/nodes/{node}/gc", { params, signal }))).items;
    },
    refetchInterval: ({ state }) =>
      state.data?.some((cleanup) => cleanup.state === "running") ? QUICK_MS : pollInterval(),
  });

export function useCleanUp(node: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (images: string[]) =>
      unwrap(api.POST("/api/v1/nodes/{node}/gc", { params: at(node), body: { images } })),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.nodes }),
  });
}

/** Asked of the agent each time; it has its newest lines in memory. */
export const agentLogQuery = (node: string, agent: string, level: AgentLogLevel) =>
  queryOptions({
    queryKey: [...keys.nodes, node, "agent-log", agent, level],
    queryFn: ({ signal }) => {
      const params = { ...at(node), query: { agent, level, lines: 500 } };
      return unwrap(api.GET("/api/v1/nodes/{node}/agent-log", { params, signal }));
    },
    gcTime: 0,
    retry: false,
    refetchInterval: ({ state }) => (state.error ? false : FOLLOW_MS),
  });
