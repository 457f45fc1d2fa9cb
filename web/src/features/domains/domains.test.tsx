import { screen, within } from "@testing-library/react";
import { Outlet } from "react-router";
import { describe, expect, it } from "vitest";
import type { Domain } from "@/api/types";
import { ago, makeApp, makeDomain, session, unproven } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { Component } from "./page";

const app = makeApp("shop");
const api = makeApp("api");
const place = "/api/v1/apps/{app}/domains/{hostname}";

const HOST = "www.example.com";
const pending = unproven(HOST);
const verified = makeDomain(HOST, { id: pending.id });

function open(items: Domain[], role: "developer" | "viewer" = "developer") {
  answer("get", "/api/v1/session", { ...session, organization: { ...session.organization, role } });
  answer("get", "/api/v1/apps", { items: [app, api], next: null });
  answer("get", "/api/v1/apps/{app}/domains", { items, next: null });
  const parent = { path: "/", element: <Outlet context={app} />, children: [{ index: true, Component }] };
  return renderAt("/", [parent]);
}

describe("domains", () => {
  it("are added and show at once what the DNS needs", async () => {
    const { user } = open([]);
    const sent = answer("post", "/api/v1/apps/{app}/domains", pending, 201);
    await user.click(await screen.findByRole("button", { name: "Add a domain" }));
    await user.type(screen.getByLabelText("Host name"), " www.example.com ");
    answer("get", "/api/v1/apps/{app}/domains", { items: [pending], next: null });
    await user.click(screen.getByRole("button", { name: "Add domain" }));
    expect(await screen.findByText("_wisehosting.www.example.com")).toBeInTheDocument();
    expect(sent).toEqual([{ hostname: "www.example.com" }]);
    expect(screen.getByRole("button", { name: "Copy value of the TXT record" })).toBeInTheDocument();
    expect(screen.getByText("shop.route.example.com", { selector: "code" })).toBeInTheDocument();
    expect(screen.getByText(/has no TXT record yet/)).toBeInTheDocument();
  });
  it("say at the field what is wrong with a name", async () => {
    const { user } = open([]);
    refuse("post", "/api/v1/apps/{app}/domains", 422, {
      code: "invalid",
      message: "this is an IP address",
      field: "hostname",
    });
    await user.click(await screen.findByRole("button", { name: "Add a domain" }));
    await user.type(screen.getByLabelText("Host name"), "10.0.0.1");
    await user.click(screen.getByRole("button", { name: "Add domain" }));
    expect(await screen.findByText("This is an IP address")).toBeInTheDocument();
  });
  it("are checked on demand", async () => {
    const { user } = open([pending]);
    const sent = answer("post", `${place}/verify`, verified);
    await screen.findByText("Not verified yet");
    answer("get", "/api/v1/apps/{app}/domains", { items: [verified], next: null });
    await user.click(screen.getByRole("button", { name: "Check www.example.com" }));
    expect(await screen.findByText("www.example.com is verified and served")).toBeInTheDocument();
    expect(await screen.findByText("Verified")).toBeInTheDocument();
    expect(sent).toHaveLength(1);
  });
  it("tell which wildcard covers them and until when, and lead to the certificate", async () => {
    const certificate = { ...verified.certificate, covered_by: "*.example.com" };
    open([{ ...verified, certificate }, makeDomain("own.example.com")]);
    expect(await screen.findByText("*.example.com")).toBeInTheDocument();
    expect(screen.getAllByText(/^covered by/)).toHaveLength(1);
    expect(screen.getAllByText(/until/).length).toBeGreaterThan(1);
    const page = (host: string) => screen.getByRole("link", { name: `Certificate of ${host}` });
    expect(page(HOST)).toHaveAttribute("href", `/certificates/${HOST}`);
    expect(page(app.hostname)).toHaveAttribute("href", `/certificates/${app.hostname}`);
  });
  it("warn while the record of a verified one is missing", async () => {
    open([{ ...verified, error: "it is gone", missing_since: ago(3600), lapses_at: ago(-86_400) }]);
    expect(await screen.findByText("Its TXT record is missing")).toBeInTheDocument();
    expect(screen.getByText(/not served any more on/)).toBeInTheDocument();
  });
  it("are removed after a question", async () => {
    const { user } = open([verified]);
    const removed = answer("delete", place, undefined as never, 200);
    await user.click(await screen.findByRole("button", { name: "Remove www.example.com" }));
    await user.click(screen.getByRole("button", { name: "Remove domain" }));
    expect(await screen.findByText("www.example.com is removed")).toBeInTheDocument();
    expect(removed).toHaveLength(1);
  });
  it("lead paths to other apps of the project", async () => {
    const { user } = open([verified]);
    const led = {
      ...verified,
      paths: [{ id: "0198c0de-0000-7000-8000-000000000002", path: "/api", app: "api", strip_prefix: true }],
    };
    const sent = answer("post", `${place}/paths`, led);
    await user.click(await screen.findByRole("button", { name: "Lead a path elsewhere" }));
    const form = within(screen.getByRole("dialog"));
    await user.type(form.getByLabelText("Path"), "api");
    await user.selectOptions(await form.findByLabelText("App of this project"), "api");
    await user.click(form.getByLabelText(/without the prefix/));
    answer("get", "/api/v1/apps/{app}/domains", { items: [led], next: null });
    await user.click(form.getByRole("button", { name: "Lead there" }));
    expect(await screen.findByRole("button", { name: "Remove the path /api" })).toBeInTheDocument();
    expect(sent).toEqual([{ path: "/api", app: "api", strip_prefix: true }]);
  });
  it("are only looked at by a viewer", async () => {
    open([verified], "viewer");
    expect(await screen.findByText("Verified")).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: /Remove|Check|Add|Move/ })).toBeNull();
  });
});
