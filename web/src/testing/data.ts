export * from "../../e2e/data.mjs";
