import { describe, expect, it } from "vitest";
import { filtersOf, prefixOf, problemsOf, withFilters } from "./filters";

describe("filters of requests", () => {
  it("are in the page's address and leave the rest of it alone", () => {
    const before = new URLSearchParams("range=1h&status=5xx&client=");
    expect(filtersOf(before)).toEqual({ status: "5xx" });
    expect(withFilters(before, { path: " /api " }).toString()).toBe("range=1h&path=%2Fapi");
  });
  it("say what cannot be asked for", () => {
    expect(problemsOf({ status: "5xx", path: "/", slower_than_ms: "500" })).toEqual({});
    expect(problemsOf({ status: "404" })).toEqual({});
    expect(Object.keys(problemsOf({ status: "6xx", path: "api", slower_than_ms: "1s" }))).toEqual([
      "status",
      "path",
      "slower_than_ms",
    ]);
  });
  it("find the requests of a counted path by what all of them begin with", () => {
    expect(["/", "/users/*/orders/*", "/assets/app.js"].map(prefixOf)).toEqual([
      "/",
      "/users/",
      "/assets/app.js",
    ]);
  });
});
