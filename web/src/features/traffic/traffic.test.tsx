import { act, fireEvent, screen, waitFor, within } from "@testing-library/react";
import { HttpResponse, http, type RequestHandler } from "msw";
import { Outlet } from "react-router";
import { describe, expect, it, vi } from "vitest";
import type { AccessSample, Traffic } from "@/api/traffic";
import { ago, makeApp, makeSample, makeSum, makeTraffic, pickSamples } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { server } from "@/testing/server";
import { Component } from "./page";

const app = makeApp("shop");
const HOUR = 3600;

/** Answers as the control plane does, and keeps what was asked for. */
function open(
  samples: AccessSample[],
  over: Partial<Traffic> = {},
  address = "/",
  ...instead: RequestHandler[]
) {
  const asked: string[] = [];
  server.use(
    http.get("*/api/v1/apps/shop/traffic", ({ request }) => {
      const range = new URL(request.url).searchParams.get("range") ?? "";
      asked.push(`traffic ${range}`);
      return HttpResponse.json(makeTraffic(range, over));
    }),
    http.get("*/api/v1/apps/shop/requests", ({ request }) => {
      const query = new URL(request.url).searchParams;
      asked.push(`requests ${query}`);
      return HttpResponse.json(pickSamples(samples, query));
    }),
  );
  server.use(...instead);
  const parent = { path: "/", element: <Outlet context={app} />, children: [{ index: true, Component }] };
  return { asked, ...renderAt(address, [parent]) };
}

/** By text: to look for roles takes so long that it would hold up what is waited for. */
const rows = () =>
  screen.queryAllByText(/^(GET|POST) \//, { selector: "code" }).map((code) => code.textContent);

describe("the traffic of an app", () => {
  it("says how much there was, how much failed, and how long it took", async () => {
    const total = makeSum({
      requests: { "1xx": 0, "2xx": 980_000, "3xx": 0, "4xx": 12_000, "5xx": 8_000 },
      sent_bytes: 3 * 1024 ** 3,
      received_bytes: 2048,
      upstream_errors: 3,
      p50_ms: 8.04,
      p95_ms: 120,
      p99_ms: 1250,
    });
    open([], { total });
    expect(await screen.findByText("1M")).toBeInTheDocument();
    expect(screen.getByText("0.8 %")).toBeInTheDocument();
    expect(screen.getByText("8,000 of 5xx, 12K of 4xx; 3 attempts without an answer")).toBeInTheDocument();
    expect(screen.getByText("120 ms p95")).toBeInTheDocument();
    expect(screen.getByText("8.0 ms p50, 1.3 s p99")).toBeInTheDocument();
    expect(screen.getByText("2.0 KiB received")).toBeInTheDocument();
    expect(screen.getByText(/Counted by/)).toHaveTextContent(/edge-1 \(proxy, .* ago\)/);
    expect(screen.getByText(/a Traefik of your own serves is not in here/)).toBeInTheDocument();
  });
  it("is read moment by moment with the keyboard, in all charts at once", async () => {
    const now = new Date().toISOString();
    const at = new Date(Date.parse(now) - 60_000).toISOString();
    const requests = { "1xx": 0, "2xx": 7, "3xx": 0, "4xx": 0, "5xx": 2 };
    const point = { at, ...makeSum({ requests, p95_ms: 44, sent_bytes: 512 }) };
    open([], { from: ago(HOUR), until: now, step_s: 60, points: [point], total: makeSum({ requests }) });
    const slider = await screen.findByRole("slider", { name: "A moment of Requests per 1 min" });
    const last = Number((slider as HTMLInputElement).max);
    fireEvent.change(slider, { target: { value: String(last - 1) } });
    expect(slider).toHaveAttribute("aria-valuetext", expect.stringContaining("2xx 7, 3xx 0, 4xx 0, 5xx 2"));
    expect(screen.getByRole("slider", { name: /Response time/ })).toHaveAttribute(
      "aria-valuetext",
      expect.stringContaining("p99 –, p95 44 ms, p50 –"),
    );
    expect(screen.getByRole("slider", { name: /Bytes/ })).toHaveAttribute(
      "aria-valuetext",
      expect.stringContaining("sent 512 B, received 0 B"),
    );
  });
  it("is asked for in the range of the page's address, which its switch changes", async () => {
    const { user, asked, router } = open([], {}, "/?range=1h");
    expect(await screen.findByRole("button", { name: "1 h" })).toHaveAttribute("aria-pressed", "true");
    await user.click(screen.getByRole("button", { name: "7 d" }));
    await waitFor(() => expect(asked).toContain("traffic 7d"));
    expect(asked).toContain("traffic 1h");
    expect(router.state.location.search).toBe("?range=7d");
  });
  it("says how it appears while there is none, and who does not tell", async () => {
    open([], { total: makeSum(), points: [], paths: [], sources: [] });
    expect(await screen.findByText("No requests in the last 24 hours")).toBeInTheDocument();
    expect(screen.getByText(/A Traefik of your own.* does not/)).toBeInTheDocument();
    expect(screen.queryByRole("slider")).not.toBeInTheDocument();
  });
  it("says what went wrong, and the list stays", async () => {
    const broken = http.get("*/api/v1/apps/shop/traffic", () =>
      HttpResponse.json({ code: "internal", message: "it broke", request_id: "r-1" }, { status: 500 }),
    );
    open([makeSample({ path: "/here" })], {}, "/", broken);
    expect(await screen.findByText("It broke")).toBeInTheDocument();
    expect(await screen.findByText("GET /here")).toBeInTheDocument();
  });
});

describe("the requests that were kept", () => {
  const samples = [
    makeSample({ path: "/users/17", status: 502, upstream: null, node: "edge-2", client: "198.51.100.0/24" }),
    makeSample({ path: "/users/18", method: "POST" }),
    makeSample({ path: "/about" }),
  ];
  it("are a sample, which the page says, with what is kept of clients", async () => {
    open(samples);
    expect(
      await screen.findByText(/^A sample.*kept for 7 days at most \(the oldest: .*the network is kept/),
    ).toBeInTheDocument();
    expect(rows()).toEqual(["GET /users/17", "POST /users/18", "GET /about"]);
  });
  it("are none where the control plane is configured so, which the page says", async () => {
    const none = { items: [], next: null, kept_days: 0, kept_since: null };
    open(
      [],
      {},
      "/",
      http.get("*/api/v1/apps/shop/requests", () => HttpResponse.json(none)),
    );
    expect(await screen.findByText("The control plane is configured to keep none.")).toBeInTheDocument();
  });
  it("are those of a path once it is chosen", async () => {
    const path = { path: "/users/*", requests: 40, errors: 1, mean_ms: 3 };
    const { user, router } = open(samples, { paths: [path] });
    await user.click(await screen.findByRole("button", { name: "Requests that begin with /users/" }));
    await waitFor(() => expect(rows()).toEqual(["GET /users/17", "POST /users/18"]));
    expect(router.state.location.search).toBe("?path=%2Fusers%2F");
    expect(screen.getByLabelText("Path begins with")).toHaveValue("/users/");
  });
  it("are filtered by what is typed, once it makes sense", async () => {
    const { user, asked, router } = open(samples);
    await screen.findByText("GET /about");
    await user.type(screen.getByLabelText("Status"), "5x");
    expect(await screen.findByText(/A class such as 5xx/)).toBeInTheDocument();
    await user.type(screen.getByLabelText("Status"), "x");
    await waitFor(() => expect(rows()).toEqual(["GET /users/17"]));
    expect(router.state.location.search).toBe("?status=5xx");
    expect(asked.filter((one) => /status=5x(&|$)/.test(one))).toEqual([]);
    await user.click(screen.getByRole("button", { name: "Clear" }));
    await waitFor(() => expect(rows()).toHaveLength(3));
    expect(router.state.location.search).toBe("");
  });
  it("keep what is chosen while a filter is typed", async () => {
    const { user, router } = open(samples);
    await screen.findByText("GET /about");
    await user.type(screen.getByLabelText("Status"), "5xx");
    await user.click(screen.getByRole("button", { name: "7 d" }));
    await waitFor(() => expect(rows()).toEqual(["GET /users/17"]));
    expect(Object.fromEntries(new URLSearchParams(router.state.location.search))).toEqual({
      range: "7d",
      status: "5xx",
    });
  });
  it("say at the field what the server does not take", async () => {
    const refusal = { code: "invalid", message: "this is no address", field: "client", request_id: "r-1" };
    const refused = http.get("*/api/v1/apps/shop/requests", () =>
      HttpResponse.json(refusal, { status: 422 }),
    );
    open(samples, {}, "/?client=nobody", refused);
    const field = await screen.findByRole("textbox", { name: /Client/ });
    await waitFor(() => expect(field).toHaveAccessibleDescription(/This is no address/));
  });
  it("appear by themselves while they are followed, and older ones on demand", async () => {
    vi.useFakeTimers({ shouldAdvanceTime: true });
    const many = Array.from({ length: 60 }, (_, index) => makeSample({ path: `/${index}` }));
    const { asked, user, router } = open(many);
    expect(await screen.findByText("GET /0")).toBeInTheDocument();
    many.unshift(makeSample({ path: "/new" }));
    await vi.advanceTimersByTimeAsync(2_100);
    expect(await screen.findByText("GET /new")).toBeInTheDocument();
    await user.click(screen.getByRole("button", { name: "Show more" }));
    expect(await screen.findByText("GET /59")).toBeInTheDocument();
    expect(rows()).toHaveLength(61);
    expect(router.state.location.search).toBe("?follow=off");
    expect(screen.getByRole("button", { name: "Follow" })).toHaveAttribute("aria-pressed", "false");
    const before = asked.length;
    await vi.advanceTimersByTimeAsync(5_000);
    expect(asked.slice(before).filter((one) => one.startsWith("requests"))).toEqual([]);
    await user.click(screen.getByRole("button", { name: "Follow" }));
    expect(rows()).toHaveLength(50);
  });
  it("rest after a return to older pages, which would all be fetched again and again", async () => {
    vi.useFakeTimers({ shouldAdvanceTime: true });
    const many = Array.from({ length: 60 }, (_, index) => makeSample({ path: `/${index}` }));
    const { asked, user, router } = open(many);
    await user.click(await screen.findByRole("button", { name: "Show more" }));
    expect(await screen.findByText("GET /59")).toBeInTheDocument();
    await act(() => router.navigate("/"));
    expect(screen.getByRole("button", { name: "Follow" })).toHaveAttribute("aria-pressed", "false");
    const before = asked.length;
    await vi.advanceTimersByTimeAsync(5_000);
    expect(asked.slice(before).filter((one) => one.startsWith("requests"))).toEqual([]);
  });
  it("tell all that is known of one", async () => {
    const { user, router } = open(samples);
    await user.click(await screen.findByRole("button", { name: "GET /users/17" }));
    const dialog = within(screen.getByRole("dialog", { name: "GET, answered with 502" }));
    expect(dialog.getByText("https://shop.route.example.com/users/17")).toBeInTheDocument();
    expect(dialog.getByText("HTTP/2.0 over TLS")).toBeInTheDocument();
    expect(dialog.getByText("none, edge-2 answered by itself")).toBeInTheDocument();
    expect(dialog.getByRole("link", { name: "edge-2" })).toHaveAttribute("href", "/nodes/edge-2");
    await user.click(dialog.getByRole("button", { name: "Others of this client" }));
    expect(screen.queryByRole("dialog")).not.toBeInTheDocument();
    expect(router.state.location.search).toBe("?client=198.51.100.0%2F24");
    await waitFor(() => expect(rows()).toEqual(["GET /users/17"]));
  });
});
