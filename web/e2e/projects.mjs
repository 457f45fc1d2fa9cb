// Projects and their private networks, for the mock server and the unit tests.
import { ago, id } from "./data.mjs";

/**
 * @param {string} slug
 * @param {Partial<import("../src/api/projects").Project>} [over]
 * @returns {import("../src/api/projects").Project}
 */
export const makeProject = (slug, over = {}) => ({
  id: id(),
  slug,
  name: slug,
  apps: 0,
  deleted_apps: 0,
  ...over,
});

/**
 * Apps of `office` may reach one of `default`.
 * @param {string} project
 * @param {import("../src/api/types").App[]} apps
 * @returns {import("../src/api/private-network").PrivateNetwork}
 */
export function makeNetwork(project, apps) {
  const granted = { from: "office", to_project: "default", to_app: "orders-api" };
  const reached = apps.filter((app) => app.project.slug === project || app.slug === granted.to_app);
  return {
    project,
    apps: reached.slice(0, 4).map((app, at) => ({
      app: app.slug,
      project: app.project.slug,
      name: `${app.slug}.${app.project.slug}.internal`,
      address: `100.96.0.${at + 1}`,
      ports: app.instances.healthy > 0 ? [8080] : [],
      instances: app.instances.healthy,
    })),
    grants: [{ id: id(), ...granted, created_by: "ada@example.com", created_at: ago(86_400) }],
    egress: project === "office" ? [{ to: "203.0.113.0/24", ports: [443] }] : null,
  };
}
