export * from "../../e2e/data.mjs";
export * from "../../e2e/nodes.mjs";
export * from "../../e2e/placement.mjs";
export * from "../../e2e/projects.mjs";
export * from "../../e2e/traffic.mjs";
