import type { Deployment, Source } from "@/api/types";

interface DeployOptions {
  message?: string | undefined;
  noCache?: boolean;
}

/** The same deed as a command, for people who would rather type. */
export const cli = {
  login: (origin: string) => `wh login ${origin}`,
  createApp: (slug: string) => `wh apps create ${quote(slug || "my-app")}`,
  deploy(app: string, source: Source | null | undefined, { message, noCache }: DeployOptions = {}): string {
    const how = `${noCache ? " --no-cache" : ""}${message ? ` -m ${quote(message)}` : ""}`;
    const target = `wh deploy --app ${quote(app)}${how}`;
    if (source?.type === "git") {
      const also = `${source.submodules ? " --submodules" : ""}${source.lfs ? " --lfs" : ""}`;
      return `${target} --git ${quote(source.url)} --ref ${quote(source.ref)}${also}`;
    }
    if (source?.type === "image") return `${target} --image ${quote(source.reference)}`;
    return `${target} .`;
  },
  /** The same deployment once more; what a rollback brought live is a release already. */
  again({ app, kind, source, release }: Pick<Deployment, "app" | "kind" | "source" | "release">): string {
    if (kind === "rollback") return cli.rollback(app.slug, release ?? undefined);
    if (kind === "start" || kind === "restart" || kind === "scale") return cli.power(app.slug, "restart");
    return cli.deploy(app.slug, source);
  },
  doctor: (host: string) => `wh doctor ${quote(host)}`,
  power: (app: string, verb: "start" | "stop" | "restart") => `wh ${verb} --app ${quote(app)}`,
  restartInstance: (app: string, instance: string) =>
    `wh restart --app ${quote(app)} --instance ${quote(instance.slice(-8))}`,
  scale: (app: string, replicas: number) => `wh scale ${replicas} --app ${quote(app)}`,
  deleteApp: (app: string) => `wh apps rm ${quote(app)} --confirm ${quote(app)}`,
  rollback: (app: string, release?: number) =>
    `wh rollback --app ${quote(app)}${release === undefined ? "" : ` ${release}`}`,
  queue: () => "wh queue",
  mesh: () => "wh mesh doctor",
  meshRotate: () => "wh mesh rotate --all",
  compare: (app: string, before: number, after: number) =>
    `wh releases diff --app ${quote(app)} ${before} ${after}`,
  logs: (app: string) => `wh logs --app ${quote(app)} -f`,
  traffic: (app: string) => `wh traffic ${quote(app)}`,
  requests: (app: string) => `wh requests ${quote(app)} --follow`,
  exec: (app: string) => `wh exec ${quote(app)}`,
  activity: (app: string) => `wh activity ${quote(app)}`,
  run: (app: string) => `wh run ${quote(app)}`,
  setEnv: (app: string) => `wh env set --app ${quote(app)} NAME=value`,
  maintenance: (app: string, domain: string | undefined, message: string) =>
    `wh route maintenance on --app ${quote(app)}${domain ? ` --domain ${quote(domain)}` : ""}${message ? ` --message ${quote(message)}` : ""}`,
  gitToken: (app: string) => `wh git token git.example.com --app ${quote(app)}`,
  addDomain: (app: string) => `wh domain add www.example.com --app ${quote(app)}`,
  moveDomain: (app: string, hostname: string, to: string) =>
    `wh domain move ${quote(hostname)} ${quote(to)} --app ${quote(app)}`,
  removeDomain: (app: string, hostname: string) => `wh domain rm ${quote(hostname)} --app ${quote(app)}`,
  projects: () => "wh project",
  createProject: (slug: string, name: string) =>
    `wh project create ${quote(slug || "my-project")}${name ? ` --name ${quote(name)}` : ""}`,
  renameProject: (slug: string, name: string) => `wh project rename ${slug} ${quote(name)}`,
  removeProject: (slug: string) => `wh project rm ${slug}`,
  privateNetwork: (project: string) => `wh network show ${quote(project)}`,
  grantNetwork: (project: string, app?: string) => cli.grant("OTHER", project, app),
  grant: (from: string, project: string, app?: string) =>
    `wh network grant ${quote(from)} ${quote(app ? `${project}/${app}` : project)}`,
  revoke: (from: string, project: string, app?: string) =>
    `wh network revoke ${quote(from)} ${quote(app ? `${project}/${app}` : project)}`,
  addStream: (app: string) => `wh stream add tcp --app ${quote(app)}`,
  removeStream: (app: string, protocol: string, port: number) =>
    `wh stream rm ${protocol} ${port} --app ${quote(app)}`,
  addDnsProvider: () => "wh dns-provider add example.com --cloudflare",
  registryLogin: () => "wh registry login registry.example.com",
  certificates: () => "wh cert",
  reissue: (host: string) => `wh cert reissue ${quote(host)}`,
  removeCertificate: (name: string) => `wh cert remove ${quote(name)} --confirm ${quote(name)}`,
  notices: () => "wh notices",
  addNode: () => "wh node add",
};

export function quote(value: string): string {
  return /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
}
