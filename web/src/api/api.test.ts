import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { QueryClient } from "@tanstack/react-query";
import { HttpResponse, http } from "msw";
import { afterEach, describe, expect, it, vi } from "vitest";
import { refuse, server } from "@/testing/server";
import { FakeEventSource } from "@/testing/setup";
import { api, everyPage, onSignedOut, unwrap } from "./client";
import { ApiError } from "./errors";
import { gatherInvalidations } from "./live";
import { follow } from "./stream";

describe("the generated schema", () => {
  it("is the one of openapi.json; otherwise run `npm run gen`", () => {
    const folder = mkdtempSync(join(tmpdir(), "schema-"));
    const fresh = join(folder, "schema.gen.ts");
    execFileSync(
      process.execPath,
      ["node_modules/openapi-typescript/bin/cli.js", "openapi.json", "-o", fresh],
      { stdio: "pipe" },
    );
    const same = readFileSync(fresh, "utf8") === readFileSync("src/api/schema.gen.ts", "utf8");
    rmSync(folder, { recursive: true });
    expect(same).toBe(true);
  }, 30_000);
});

describe("a list in pages", () => {
  it("is read to its end", async () => {
    const pages: Record<string, { items: number[]; next: string | null }> = {
      "": { items: [1, 2], next: "a" },
      a: { items: [3, 4], next: "b" },
      b: { items: [5], next: null },
    };
    const all = await everyPage(async (cursor) => pages[cursor ?? ""] ?? expect.fail("no such page"));
    expect(all).toEqual([1, 2, 3, 4, 5]);
  });
});

describe("errors", () => {
  const call = () => unwrap(api.GET("/api/v1/apps/{app}", { params: { path: { app: "x" } } }));
  const refused = () =>
    call().then(
      () => expect.fail("was not refused"),
      (error: ApiError) => error,
    );

  it("carry code, field and request id", async () => {
    refuse("get", "/api/v1/apps/{app}", 422, {
      code: "slug_invalid",
      message: "m",
      field: "slug",
    });
    expect(await refused()).toMatchObject({
      status: 422,
      code: "slug_invalid",
      field: "slug",
      requestId: "r-1",
      hint: undefined,
    });
  });
  it("have a code when something in between answers", async () => {
    server.use(
      http.get("*/api/v1/apps/:app", () => new HttpResponse("<h1>Bad gateway</h1>", { status: 502 })),
    );
    expect(await refused()).toMatchObject({ status: 502, code: "http_502" });
  });
  it("have a code when nobody answers", async () => {
    server.use(http.get("*/api/v1/apps/:app", () => HttpResponse.error()));
    expect(await refused()).toMatchObject({ status: 0, code: "unreachable" });
  });
  it("tell that the session has ended", async () => {
    const ended = vi.fn();
    onSignedOut(ended);
    refuse("get", "/api/v1/apps/{app}", 401, { code: "unauthenticated", message: "m" });
    expect(await refused()).toBeInstanceOf(ApiError);
    expect(ended).toHaveBeenCalledOnce();
    onSignedOut(() => {});
  });
});

describe("streams", () => {
  afterEach(() => vi.useRealTimers());
  const latest = () => {
    const source = FakeEventSource.opened.at(-1);
    if (!source) throw new Error("no stream was opened");
    return source;
  };

  it("open a new connection behind the last line when the browser gave up", () => {
    vi.useFakeTimers();
    let seen = 0;
    const states: string[] = [];
    const close = follow({
      url: () => `/log?after=${seen}`,
      events: { log: (_, id) => (seen = Number(id)) },
      onState: (state) => states.push(state),
    });
    latest().open();
    latest().say("log", {}, "41");
    latest().fail(2);
    vi.advanceTimersByTime(2_000);
    expect(FakeEventSource.opened.map(({ url }) => url)).toEqual(["/log?after=0", "/log?after=41"]);
    latest().open();
    close();
    expect(states).toEqual(["connecting", "open", "reconnecting", "open", "closed"]);
  });
  it("leave reconnecting to the browser while it tries", () => {
    vi.useFakeTimers();
    const close = follow({ url: () => "/x", events: {} });
    latest().fail(0);
    vi.advanceTimersByTime(60_000);
    expect(FakeEventSource.opened).toHaveLength(1);
    close();
  });
  it("wait longer after each refusal, and stop when closed", () => {
    vi.useFakeTimers();
    const close = follow({ url: () => "/x", events: {} });
    for (let i = 0; i < 20; i += 1) {
      if (latest().readyState !== FakeEventSource.CLOSED) latest().fail(2);
      vi.advanceTimersByTime(1_300);
    }
    expect(FakeEventSource.opened.length).toBeLessThan(8);
    close();
    const before = FakeEventSource.opened.length;
    vi.advanceTimersByTime(60_000);
    expect(FakeEventSource.opened).toHaveLength(before);
  });
});

describe("announced changes", () => {
  it("make each list stale once per burst", () => {
    vi.useFakeTimers();
    const client = new QueryClient();
    const invalidate = vi.spyOn(client, "invalidateQueries").mockResolvedValue();
    const gathered = gatherInvalidations(client);
    for (let i = 0; i < 100; i += 1) gathered.add("deployments");
    gathered.add("instances");
    vi.advanceTimersByTime(400);
    const stale = invalidate.mock.calls.map(([filter]) => filter?.queryKey?.[0]);
    expect(stale.sort()).toEqual([
      "activity",
      "apps",
      "deployments",
      "instances",
      "jobs",
      "nodes",
      "releases",
      "streams",
    ]);
    vi.useRealTimers();
  });
});
