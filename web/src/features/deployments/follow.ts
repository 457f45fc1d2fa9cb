import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { keys } from "@/api/keys";
import { useLineBuffer } from "@/api/log";
import { deploymentQuery } from "@/api/queries";
import { follow, type StreamState } from "@/api/stream";
import type { Deployment, LogLine } from "@/api/types";

/** The deployment with its log, both live until it has ended. */
export function useDeployment(id: string) {
  const client = useQueryClient();
  const query = useQuery(deploymentQuery(id));
  const [stream, setStream] = useState<StreamState>("connecting");
  const { lines, last, add, clear } = useLineBuffer<LogLine>((line, before) => line.seq > before.seq);

  // biome-ignore lint/correctness/useExhaustiveDependencies: one stream per deployment; add and clear work on refs
  useEffect(() => {
    clear();
    const update = (data: string) =>
      client.setQueryData([...keys.deployments, id], JSON.parse(data) as Deployment);
    const close = follow({
      url: () => `/api/v1/deployments/${id}/events?after=${last.current?.seq ?? 0}`,
      events: {
        deployment: update,
        log: (data) => add(JSON.parse(data) as LogLine),
        end: (data) => {
          update(data);
          close();
          void client.invalidateQueries({ queryKey: keys.apps });
        },
      },
      onState: setStream,
    });
    return close;
  }, [id, client]);

  return { query, lines, stream };
}
