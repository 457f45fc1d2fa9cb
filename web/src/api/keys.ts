/** First elements of all query keys: what a change can make stale. */
export const keys = {
  session: ["session"],
  apps: ["apps"],
  tombstones: ["tombstones"],
  instances: ["instances"],
  deployments: ["deployments"],
  jobs: ["jobs"],
  releases: ["releases"],
  env: ["env"],
  gitAccess: ["git-access"],
  nodes: ["nodes"],
  nodeTokens: ["node-tokens"],
  tokens: ["tokens"],
  registries: ["registries"],
  projects: ["projects"],
  audit: ["audit"],
  activity: ["activity"],
} as const;
