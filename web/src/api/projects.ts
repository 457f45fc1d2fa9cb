import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, unwrap } from "./client";
import { keys } from "./keys";
import type { components } from "./schema.gen";

type Schemas = components["schemas"];
export type Project = Schemas["Project"];

/** A project that goes takes its grants with it. */
function useProjectChange<V, R>(mutationFn: (value: V) => Promise<R>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn,
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: keys.privateNetwork });
      return client.invalidateQueries({ queryKey: keys.projects });
    },
  });
}

export const useCreateProject = () =>
  useProjectChange((body: Schemas["ProjectRequest"]) => unwrap(api.POST("/api/v1/projects", { body })));

export const useRenameProject = (project: string) =>
  useProjectChange((name: string) =>
    unwrap(api.PATCH("/api/v1/projects/{project}", { params: { path: { project } }, body: { name } })),
  );

export const useDeleteProject = (project: string) =>
  useProjectChange(() => unwrap(api.DELETE("/api/v1/projects/{project}", { params: { path: { project } } })));
