import { screen, waitFor, within } from "@testing-library/react";
import { Outlet } from "react-router";
import { describe, expect, it } from "vitest";
import type { components } from "@/api/schema.gen";
import type { RouteOptions } from "@/api/types";
import { makeApp } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { formOf, optionsOf, patchOf, problemsOf } from "./form";
import { Component } from "./page";

const app = makeApp("hello");
const HOSTS = [app.hostname, "www.example.com"];

function settings(options: RouteOptions, own: RouteOptions = options) {
  const origin = (name: string) => (name in own ? "domain" : "app") as "app" | "domain";
  const origins = Object.fromEntries(Object.keys(options).map((name) => [name, origin(name)]));
  return {
    own,
    effective: options,
    origins,
    hosts: HOSTS,
  } as unknown as components["schemas"]["RouteSettings"];
}

function show(path = "/routing") {
  return renderAt(path, [
    { element: <Outlet context={app} />, children: [{ path: "/routing", element: <Component /> }] },
  ]);
}

describe("the form of routing options", () => {
  const everything: RouteOptions = {
    allow: ["10.0.0.0/8"],
    forward_auth: {
      url: "app:door/verify",
      response_headers: ["Remote-User", "Remote-Email"],
      request_headers: ["Cookie"],
      skip: ["/health", "/public/*"],
      timeout_s: 9,
    },
    canonical_host: "www.example.com",
    https_redirect: false,
    redirects: [{ from: "/old", to: "/new", status: 302 }],
    request_headers: { set: { "X-Tier": "gold: yes" }, remove: ["Cookie"] },
    rate_limit: { requests: 10, per_s: 60, burst: 20 },
    max_body_bytes: 10 * 1024 * 1024,
    timeout_s: 5,
    compress: true,
    sticky: true,
    balance: "round-robin",
    upstream_protocol: "h2c",
    retry: { attempts: 2, per_try_timeout_s: 3, on_gateway_error: true },
    eject: { failures: 5, for_s: 10 },
  };
  it("says back what it was given, and nothing of defaults", () => {
    expect(optionsOf(formOf(everything))).toEqual(everything);
    expect(optionsOf(formOf({}))).toEqual({});
  });
  it("sends what changed alone; a domain says that it has nothing of its app's", () => {
    const [before, after] = [formOf(everything), formOf({ ...everything, timeout_s: 9 })];
    expect(patchOf(before, after, false)).toEqual({ set: { timeout_s: 9 }, unset: [] });
    const off = { ...before, compress: false, eject: false };
    expect(patchOf(before, off, false)).toEqual({ set: {}, unset: ["compress", "eject"] });
    expect(patchOf(before, off, true)).toEqual({ set: { compress: null, eject: null }, unset: [] });
  });
  it("names what cannot be right", () => {
    const form = { ...formOf({}), attempts: "", redirects: "/old", responseSet: "X-A", body: "much" };
    expect(Object.keys(problemsOf(form)).sort()).toEqual(["attempts", "body", "redirects", "responseSet"]);
  });
});

describe("the routing page", () => {
  it("keeps passwords that are not typed anew", async () => {
    const basic_auth = { realm: "Staff", users: { ann: null } } as unknown as RouteOptions["basic_auth"];
    answer("get", "/api/v1/apps/{app}/routes", settings({ basic_auth }));
    const asked = answer("patch", "/api/v1/apps/{app}/routes", settings({ basic_auth }));
    const { user } = show();
    await user.click(await screen.findByRole("button", { name: "Add user" }));
    await user.type(screen.getAllByLabelText("User")[1] as HTMLElement, "bob");
    await user.type(screen.getAllByLabelText("Password")[1] as HTMLElement, "correct horse");
    await user.click(screen.getByRole("button", { name: "Save routing" }));
    await waitFor(() => expect(asked).toHaveLength(1));
    const users = { ann: null, bob: { password: "correct horse" } };
    expect(asked[0]).toEqual({ set: { basic_auth: { realm: "Staff", users } }, unset: [] });
  });

  it("asks before it closes the app, and opens it again at once", async () => {
    answer("get", "/api/v1/apps/{app}/routes", settings({}));
    const asked = answer(
      "patch",
      "/api/v1/apps/{app}/routes",
      settings({ maintenance: { message: "Back at five" } }),
    );
    const { user } = show();
    await user.click(await screen.findByRole("button", { name: "Close for maintenance…" }));
    const dialog = screen.getByRole("dialog");
    await user.type(within(dialog).getByLabelText(/Message for visitors/), "Back at five");
    await user.click(within(dialog).getByRole("button", { name: "Close the app" }));
    await screen.findByText("hello is closed for maintenance", { selector: ".notice *" });
    expect(asked).toEqual([{ set: { maintenance: { message: "Back at five" } }, unset: [] }]);
    await user.click(screen.getByRole("button", { name: "Open again" }));
    await waitFor(() => expect(asked[1]).toEqual({ set: {}, unset: ["maintenance"] }));
  });

  it("puts a sign-in in front of the app, and says at its field what cannot be asked", async () => {
    answer("get", "/api/v1/apps/{app}/routes", settings({}));
    const { user } = show();
    const address = await screen.findByLabelText(/Address of the sign-in/);
    expect(screen.queryByLabelText(/Paths for which nobody is asked/)).not.toBeInTheDocument();
    const put = async (field: HTMLElement, text: string) => {
      await user.click(field);
      await user.paste(text);
    };
    await put(address, "auth.example.com");
    expect(screen.getByText(/neither an http\(s\) address nor app:SLUG/)).toBeInTheDocument();
    await user.clear(address);
    await put(address, "app:door/verify");
    await put(screen.getByLabelText(/Headers that the app sees/), "Remote-User");
    await put(screen.getByLabelText(/Paths for which nobody is asked/), "/health");
    refuse("patch", "/api/v1/apps/{app}/routes", 422, {
      code: "invalid",
      message: "there is no app `door` in this app's project",
      field: "forward_auth.url",
      hint: null,
    });
    await user.click(screen.getByRole("button", { name: "Save routing" }));
    expect(await screen.findByText(/no app `door` in this/)).toBeInTheDocument();
    const auth = { url: "app:door/verify", response_headers: ["Remote-User"], skip: ["/health"] };
    const asked = answer(
      "patch",
      "/api/v1/apps/{app}/routes",
      settings({ forward_auth: { ...auth, timeout_s: 5 } }),
    );
    await user.click(screen.getByRole("button", { name: "Save routing" }));
    await waitFor(() => expect(asked).toEqual([{ set: { forward_auth: auth }, unset: [] }]));
  });

  it("shows what is wrong at its field", async () => {
    answer("get", "/api/v1/apps/{app}/routes", settings({}));
    refuse("patch", "/api/v1/apps/{app}/routes", 422, {
      code: "invalid",
      message: "`home` is no address and no network",
      field: "allow.0",
      hint: null,
    });
    const { user } = show();
    await user.type(await screen.findByLabelText(/Networks that are let in/), "home");
    await user.click(screen.getByRole("button", { name: "Save routing" }));
    expect(await screen.findByText("`home` is no address and no network")).toBeInTheDocument();
  });

  it("changes one domain and takes the app's options back", async () => {
    const of = "/api/v1/apps/{app}/domains/{hostname}/routes";
    answer("get", "/api/v1/apps/{app}/routes", settings({ compress: true }));
    answer("get", of, settings({ compress: true, sticky: true }, { sticky: true }));
    const asked = answer("patch", of, settings({ compress: true }, {}));
    const { user } = show("/routing?domain=www.example.com");
    await user.click(await screen.findByRole("button", { name: "As the app: sticky" }));
    await waitFor(() => expect(asked).toEqual([{ set: {}, unset: ["sticky"] }]));
    await waitFor(() => expect(screen.queryByText("Of this domain alone")).not.toBeInTheDocument());
    await user.click(screen.getByLabelText("Compress text"));
    await user.click(screen.getByRole("button", { name: "Save routing" }));
    await waitFor(() => expect(asked[1]).toEqual({ set: { compress: null }, unset: [] }));
  });
});
