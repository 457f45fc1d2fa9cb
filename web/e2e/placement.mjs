// Room on workers in the shapes of the API, for the mock server and the unit tests.
import { id } from "./data.mjs";

/**
 * @param {string} name
 * @param {Partial<import("../src/api/placement").NodePlacement>} [over]
 * @returns {import("../src/api/placement").NodePlacement}
 */
export const makePlacement = (name, over = {}) => ({
  id: id(),
  name,
  online: true,
  takes_apps: true,
  takes_builds: true,
  max_instances: null,
  cordoned_at: null,
  capacity: { cpu_millis: 79_000, memory_mb: 31_656 },
  reserved: { cpu_millis: 4500, memory_mb: 2304 },
  instances: 4,
  drain: null,
  ...over,
});

/**
 * @param {string} app
 * @param {Partial<import("../src/api/placement").PlannedMove>} [over]
 * @returns {import("../src/api/placement").PlannedMove}
 */
export const makePlannedMove = (app, over = {}) => ({
  instance: id(),
  app,
  from: "worker-1",
  to: "worker-2",
  reason: "worker-1 is drained",
  ...over,
});
