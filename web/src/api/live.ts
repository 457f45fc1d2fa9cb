import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";
import { keys } from "./keys";
import { follow, type StreamState } from "./stream";
import type { Change } from "./types";

let state: StreamState = "connecting";
const listeners = new Set<() => void>();

function setState(next: StreamState) {
  state = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

export function useLiveState(): StreamState {
  return useSyncExternalStore(subscribe, () => state);
}

/** Pages poll every 10 s while changes are not announced, and every 30 s to keep ages of observations right. */
export function pollInterval(): number {
  return state === "open" ? 30_000 : 10_000;
}

/** What a change of a topic makes stale. */
const staleBy: Record<Change["topic"], readonly (readonly string[])[]> = {
  apps: [keys.apps, keys.projects, keys.env, keys.tombstones, keys.activity, keys.streams],
  deployments: [keys.deployments, keys.apps, keys.releases, keys.jobs, keys.activity],
  nodes: [keys.nodes, keys.nodeTokens, keys.jobs],
  instances: [keys.instances, keys.apps, keys.nodes, keys.activity, keys.streams],
  certificates: [keys.apps, keys.domains, keys.certificates],
  notices: [keys.notices],
  domains: [keys.domains, keys.activity],
};

/** Many changes come in bursts; each key is fetched again at most once in this time. */
const GATHER_MS = 300;

export function gatherInvalidations(client: QueryClient) {
  const waiting = new Set<Change["topic"]>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const flush = () => {
    timer = undefined;
    const stale = new Map([...waiting].flatMap((topic) => staleBy[topic] ?? []).map((key) => [key[0], key]));
    waiting.clear();
    for (const queryKey of stale.values()) void client.invalidateQueries({ queryKey });
  };
  return {
    add(topic: Change["topic"]) {
      waiting.add(topic);
      timer ??= setTimeout(flush, GATHER_MS);
    },
    stop: () => clearTimeout(timer),
  };
}

/** Keeps all queries fresh while mounted; one connection for the whole dashboard. */
export function useLiveUpdates() {
  const client = useQueryClient();
  useEffect(() => {
    const gathered = gatherInvalidations(client);
    let missed = false;
    const close = follow({
      url: () => "/api/v1/events",
      events: { change: (data) => gathered.add((JSON.parse(data) as Change).topic) },
      onState: (next) => {
        if (next === "open" && missed) void client.invalidateQueries();
        missed = next === "reconnecting";
        setState(next);
      },
    });
    return () => {
      gathered.stop();
      close();
    };
  }, [client]);
}
