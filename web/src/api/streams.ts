import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, unwrap } from "./client";
import { keys } from "./keys";
import { pollInterval } from "./live";
import type { Stream, StreamRequest } from "./types";

export const streamsQuery = (app: string) =>
  queryOptions({
    queryKey: [...keys.streams, app],
    queryFn: ({ signal }) =>
      unwrap(api.GET("/api/v1/apps/{app}/streams", { params: { path: { app } }, signal })),
    refetchInterval: pollInterval,
  });

function useStreamChange<V, R>(mutationFn: (value: V) => Promise<R>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn,
    onSuccess: () => client.invalidateQueries({ queryKey: keys.streams }),
  });
}

export const useAddStream = (app: string) =>
  useStreamChange((body: StreamRequest) =>
    unwrap(api.POST("/api/v1/apps/{app}/streams", { params: { path: { app } }, body })),
  );

export const useRemoveStream = (app: string) =>
  useStreamChange(({ protocol, port }: Stream) =>
    unwrap(
      api.DELETE("/api/v1/apps/{app}/streams/{protocol}/{port}", {
        params: { path: { app, protocol, port } },
      }),
    ),
  );
