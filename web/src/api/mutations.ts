import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, unwrap, upload } from "./client";
import { keys } from "./keys";
import type { components } from "./schema.gen";
import type { AppChanged, Deployment, RoutesPatch, SettingsPatch, Source } from "./types";

type Schemas = components["schemas"];

/** Marks everything that a new deployment changes. */
export function useDeploymentStarted() {
  const client = useQueryClient();
  return (deployment: Deployment) => {
    client.setQueryData([...keys.deployments, deployment.id], deployment);
    void client.invalidateQueries({ queryKey: keys.apps });
    void client.invalidateQueries({ queryKey: [...keys.deployments, "of"] });
    void client.invalidateQueries({ queryKey: keys.jobs });
  };
}

export const createApp = (body: Schemas["AppRequest"]) => unwrap(api.POST("/api/v1/apps", { body }));

export async function uploadArchive(app: string, file: Blob, onProgress: (share: number) => void) {
  const path = `/api/v1/apps/${encodeURIComponent(app)}/archives`;
  return (await upload(path, file, onProgress)) as Schemas["Archive"];
}

export const startDeployment = (app: string, body: Schemas["DeploymentRequest"]) =>
  unwrap(api.POST("/api/v1/apps/{app}/deployments", { params: { path: { app } }, body }));

export function useDeploy(app: string) {
  const started = useDeploymentStarted();
  return useMutation({
    mutationFn: (source: Source) => startDeployment(app, { source }),
    onSuccess: started,
  });
}

export function useRollback(app: string, message = "") {
  const started = useDeploymentStarted();
  return useMutation({
    mutationFn: (release: number | undefined) =>
      unwrap(
        api.POST("/api/v1/apps/{app}/rollback", {
          params: { path: { app } },
          body: { ...(release !== undefined && { release }), ...(message && { message }) },
        }),
      ),
    onSuccess: started,
  });
}

export function useApply(app: string) {
  const started = useDeploymentStarted();
  return useMutation({
    mutationFn: () => unwrap(api.POST("/api/v1/apps/{app}/apply", { params: { path: { app } }, body: {} })),
    onSuccess: started,
  });
}

/** A change of the app itself, and of its deployments if one does it. */
function useAppChange<V>(mutationFn: (value: V) => Promise<AppChanged>) {
  const client = useQueryClient();
  const started = useDeploymentStarted();
  return useMutation({
    mutationFn,
    onSuccess: ({ app, deployment }) => {
      client.setQueryData([...keys.apps, app.slug], app);
      if (deployment) started(deployment);
      else void client.invalidateQueries({ queryKey: keys.apps });
      void client.invalidateQueries({ queryKey: keys.tombstones });
    },
  });
}

const of = (app: string) => ({ params: { path: { app } } });

export const useStop = (app: string) =>
  useAppChange(() => unwrap(api.POST("/api/v1/apps/{app}/stop", of(app))));

export const useStart = (app: string) =>
  useAppChange(() => unwrap(api.POST("/api/v1/apps/{app}/start", of(app))));

export const useRestart = (app: string) =>
  useAppChange(() => unwrap(api.POST("/api/v1/apps/{app}/restart", of(app))));

/** Changes what is done with the requests of an app, or of one of its domains. */
export function useUpdateRoutes(app: string, domain?: string) {
  const client = useQueryClient();
  const path = "/api/v1/apps/{app}/domains/{hostname}/routes";
  return useMutation({
    mutationFn: (patch: RoutesPatch) => {
      const body = { set: {}, unset: [], ...patch };
      return domain === undefined
        ? unwrap(api.PATCH("/api/v1/apps/{app}/routes", { ...of(app), body }))
        : unwrap(api.PATCH(path, { params: { path: { app, hostname: domain } }, body }));
    },
    onSuccess: (settings) => client.setQueryData([...keys.apps, app, "routes", domain ?? ""], settings),
  });
}

/** Replaces one instance. */
export const useRestartInstance = (app: string) =>
  useAppChange((instance: string) =>
    unwrap(
      api.POST("/api/v1/apps/{app}/instances/{instance}/restart", { params: { path: { app, instance } } }),
    ),
  );

export const useScale = (app: string) =>
  useAppChange((replicas: number) =>
    unwrap(api.POST("/api/v1/apps/{app}/scale", { ...of(app), body: { replicas } })),
  );

export const useUndelete = () =>
  useAppChange((app: string) => unwrap(api.POST("/api/v1/apps/{app}/undelete", of(app))));

export function useDeleteApp(app: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () =>
      unwrap(api.DELETE("/api/v1/apps/{app}", { params: { path: { app }, query: { confirm: app } } })),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: [...keys.apps, "list"] });
      void client.invalidateQueries({ queryKey: keys.tombstones });
    },
  });
}

export function useCancel() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) =>
      unwrap(api.POST("/api/v1/deployments/{id}/cancel", { params: { path: { id } } })),
    onSuccess: (deployment) => {
      client.setQueryData([...keys.deployments, deployment.id], deployment);
      void client.invalidateQueries({ queryKey: keys.jobs });
    },
  });
}

/** Moves a queued deployment's build to the front. */
export function useFront() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) =>
      unwrap(api.POST("/api/v1/deployments/{id}/front", { params: { path: { id } } })),
    onSuccess: (deployment) => {
      client.setQueryData([...keys.deployments, deployment.id], deployment);
      return client.invalidateQueries({ queryKey: keys.jobs });
    },
  });
}

export function useUpdateApp(app: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: SettingsPatch) =>
      unwrap(api.PATCH("/api/v1/apps/{app}", { params: { path: { app } }, body })),
    onSuccess: (data) => {
      client.setQueryData([...keys.apps, app], data);
      void client.invalidateQueries({ queryKey: keys.apps });
    },
  });
}

function useEnvSaved(app: string) {
  const client = useQueryClient();
  const started = useDeploymentStarted();
  return ({ deployment, ...env }: Schemas["VariablesPatched"]) => {
    client.setQueryData([...keys.env, app], env);
    void client.invalidateQueries({ queryKey: [...keys.apps, app, "pending"] });
    if (deployment) started(deployment);
  };
}

export function useUpdateEnv(app: string) {
  return useMutation({
    mutationFn: (body: Schemas["VariablesPatch"]) =>
      unwrap(api.PATCH("/api/v1/apps/{app}/env", { params: { path: { app } }, body })),
    onSuccess: useEnvSaved(app),
  });
}

export function useWriteEnvFile(app: string) {
  return useMutation({
    mutationFn: (body: Schemas["EnvFileChange"]) =>
      unwrap(api.PATCH("/api/v1/apps/{app}/env/file", { params: { path: { app } }, body })),
    onSuccess: useEnvSaved(app),
  });
}

export const revealEnv = (app: string) =>
  unwrap(api.GET("/api/v1/apps/{app}/env", { params: { path: { app }, query: { reveal: true } } }));

export const readEnvFile = (app: string) =>
  unwrap(api.GET("/api/v1/apps/{app}/env/file", { params: { path: { app } } }));

function useListChange<V, R>(key: readonly string[], mutationFn: (value: V) => Promise<R>) {
  const client = useQueryClient();
  return useMutation({ mutationFn, onSuccess: () => client.invalidateQueries({ queryKey: key }) });
}

export const useCreateNodeToken = () =>
  useListChange(keys.nodeTokens, (body: Schemas["NodeTokenRequest"]) =>
    unwrap(api.POST("/api/v1/node-tokens", { body })),
  );

export const useDeleteNodeToken = () =>
  useListChange(keys.nodeTokens, (id: string) =>
    unwrap(api.DELETE("/api/v1/node-tokens/{id}", { params: { path: { id } } })),
  );

export const useCheckNode = () =>
  useListChange(keys.nodes, (node: string) =>
    unwrap(api.POST("/api/v1/nodes/{node}/check", { params: { path: { node } } })),
  );

export const useRegisterNode = () =>
  useListChange(keys.nodes, (body: Schemas["NodeRegistration"]) =>
    unwrap(api.POST("/api/v1/nodes", { body })),
  );

export const useRotateNodeKey = () =>
  useListChange(keys.nodes, (node: string) =>
    unwrap(api.POST("/api/v1/nodes/{node}/rotate-key", { params: { path: { node } } })),
  );

export const useRevokeNode = () =>
  useListChange(keys.nodes, (node: string) =>
    unwrap(api.POST("/api/v1/nodes/{node}/revoke", { params: { path: { node } }, body: { confirm: node } })),
  );

export const useDeleteNode = () =>
  useListChange(keys.nodes, (node: string) =>
    unwrap(api.DELETE("/api/v1/nodes/{node}", { params: { path: { node } } })),
  );

export const useCreateToken = () =>
  useListChange(keys.tokens, (body: Schemas["TokenRequest"]) => unwrap(api.POST("/api/v1/tokens", { body })));

export const useDeleteToken = () =>
  useListChange(keys.tokens, (id: string) =>
    unwrap(api.DELETE("/api/v1/tokens/{id}", { params: { path: { id } } })),
  );

export const usePutRegistry = () =>
  useListChange(keys.registries, (body: Schemas["RegistryRequest"]) =>
    unwrap(api.POST("/api/v1/registries", { body })),
  );

export const useDeleteRegistry = () =>
  useListChange(keys.registries, (host: string) =>
    unwrap(api.DELETE("/api/v1/registries/{host}", { params: { path: { host } } })),
  );

export const usePutDnsProvider = () =>
  useListChange(keys.dnsProviders, (body: Schemas["DnsProviderRequest"]) =>
    unwrap(api.POST("/api/v1/dns-providers", { body })),
  );

export const useDeleteDnsProvider = () =>
  useListChange(keys.dnsProviders, (id: string) =>
    unwrap(api.DELETE("/api/v1/dns-providers/{id}", { params: { path: { id } } })),
  );

export const useTestDnsProvider = () =>
  useListChange(keys.dnsProviders, (id: string) =>
    unwrap(api.POST("/api/v1/dns-providers/{id}/test", { params: { path: { id } } })),
  );

/** `path` is null for a registry that gets no more built images. */
export const useKeepImages = () =>
  useListChange(keys.registries, ({ host, path }: { host: string; path: string | null }) => {
    const params = { path: { host } };
    return path === null
      ? unwrap(api.DELETE("/api/v1/registries/{host}/images", { params }))
      : unwrap(api.POST("/api/v1/registries/{host}/images", { params, body: { path } }));
  });

export const readChain = (host: string) =>
  unwrap(api.GET("/api/v1/certificates/{host}/chain", { params: { path: { host } }, parseAs: "text" }));

/** The variable says whether another one is meant, a moment after the last. */
export const useReissue = (host: string) =>
  useListChange(keys.certificates, (again: boolean) =>
    unwrap(api.POST("/api/v1/certificates/{host}/reissue", { params: { path: { host } }, body: { again } })),
  );

export const useImportCertificate = () =>
  useListChange(keys.certificates, (body: Schemas["ImportRequest"]) =>
    unwrap(api.POST("/api/v1/certificates/imports", { body })),
  );

export const useRemoveCertificate = () =>
  useListChange(keys.certificates, ({ id, names }: Schemas["ImportedCertificate"]) =>
    unwrap(
      api.DELETE("/api/v1/certificates/imports/{id}", {
        params: { path: { id }, query: { confirm: names[0] ?? "" } },
      }),
    ),
  );

export const usePutGitAccess = (app: string) =>
  useListChange(keys.gitAccess, (body: Schemas["GitAccessRequest"]) =>
    unwrap(api.POST("/api/v1/apps/{app}/git-access", { params: { path: { app } }, body })),
  );

export const useDeleteGitAccess = (app: string) =>
  useListChange(keys.gitAccess, () =>
    unwrap(api.DELETE("/api/v1/apps/{app}/git-access", { params: { path: { app } } })),
  );

/** A session begins: everything that was cached belonged to nobody or to someone else. */
function useSessionStart<V>(mutationFn: (value: V) => Promise<Schemas["Session"]>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn,
    onSuccess: (session) => {
      client.clear();
      client.setQueryData(keys.session, session);
    },
  });
}

export const useLogin = () =>
  useSessionStart((body: Schemas["LoginRequest"]) => unwrap(api.POST("/api/v1/session", { body })));

export const useSetup = () =>
  useSessionStart((body: Schemas["SetupRequest"]) => unwrap(api.POST("/api/v1/setup", { body })));

export function useLogout() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => unwrap(api.DELETE("/api/v1/session")),
    onSuccess: () => client.clear(),
  });
}
