import { screen, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { Project } from "@/api/projects";
import { makeApp, makeNetwork, makeProject, session } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { Component } from "./page";

const all = [
  makeProject("default", { name: "Default", apps: 2 }),
  makeProject("office", { name: "The office", deleted_apps: 1 }),
  makeProject("shop", { name: "The shop" }),
];
const one = "/api/v1/projects/{project}" as const;

interface Options {
  items?: Project[];
  role?: "admin" | "developer";
  at?: string;
}

function open({ items = all, role = "admin", at = "/projects" }: Options = {}) {
  answer("get", "/api/v1/session", { ...session, organization: { ...session.organization, role } });
  answer("get", "/api/v1/projects", { items, next: null });
  return renderAt(at, [{ path: "/projects", Component }]);
}

const rowOf = async (slug: string) =>
  within((await screen.findByText(slug, { selector: "code" })).closest("tr") as HTMLElement);
const dialog = async () => within(await screen.findByRole("dialog"));

describe("projects", () => {
  it("are listed with their apps and the way to them", async () => {
    open();
    const row = await rowOf("default");
    expect(row.getByText("Default")).toBeInTheDocument();
    expect(row.getByRole("link", { name: "2 apps of default" })).toHaveAttribute(
      "href",
      "/apps?project=default",
    );
    expect((await rowOf("office")).getByText("and 1 deleted")).toBeInTheDocument();
    expect((await rowOf("shop")).getByText("none")).toBeInTheDocument();
  });
  it("are looked at by everybody and changed by administrators", async () => {
    open({ role: "developer" });
    const row = await rowOf("shop");
    expect(row.getByRole("link", { name: "Private network of shop" })).toBeInTheDocument();
    for (const name of [/New project/, /Rename/, /Remove/])
      expect(screen.queryByRole("button", { name })).toBeNull();
  });
  it("say what to do when there are none", async () => {
    open({ items: [] });
    expect(await screen.findByText("No projects yet")).toBeInTheDocument();
    expect(screen.getByText("wh project create my-project")).toBeInTheDocument();
  });
});

describe("a new project", () => {
  it("has a slug that can be one, and a name", async () => {
    const { user } = open();
    await user.click(await screen.findByRole("button", { name: "New project" }));
    const form = await dialog();
    await user.click(form.getByRole("button", { name: "Create" }));
    expect(form.getByText("A name is needed.")).toBeInTheDocument();
    await user.type(form.getByLabelText("Slug"), "7 Seas");
    expect(form.getByText("Starts with a letter.")).toBeInTheDocument();
    await user.clear(form.getByLabelText("Slug"));
    await user.type(form.getByLabelText("Slug"), "Seven Seas");
    expect(form.getByText(/app\.seven-seas\.internal/)).toBeInTheDocument();
    await user.type(form.getByLabelText(/^Name/), "Seven seas");
    const sent = answer("post", "/api/v1/projects", makeProject("seven-seas"), 201);
    await user.click(form.getByRole("button", { name: "Create" }));
    expect(await screen.findByText("The project seven-seas is made")).toBeInTheDocument();
    expect(sent).toEqual([{ slug: "seven-seas", name: "Seven seas" }]);
  });
  it("is told at the field that its slug is taken", async () => {
    const { user } = open();
    await user.click(await screen.findByRole("button", { name: "New project" }));
    const form = await dialog();
    await user.type(form.getByLabelText("Slug"), "shop");
    refuse("post", "/api/v1/projects", 409, {
      code: "slug_taken",
      message: "there is a project shop already",
      field: "slug",
    });
    await user.click(form.getByRole("button", { name: "Create" }));
    expect(await form.findByText("There is a project shop already")).toBeInTheDocument();
    expect(form.getByLabelText("Slug")).toBeInvalid();
  });
});

describe("a project", () => {
  it("gets another name and keeps its slug", async () => {
    const { user } = open();
    await user.click(await screen.findByRole("button", { name: "Rename shop" }));
    const form = await dialog();
    await user.clear(form.getByLabelText("Name"));
    expect(form.getByRole("button", { name: "Rename" })).toBeDisabled();
    await user.type(form.getByLabelText("Name"), "Le magasin");
    const sent = answer("patch", one, makeProject("shop", { name: "Le magasin" }));
    await user.click(form.getByRole("button", { name: "Rename" }));
    expect(await screen.findByText("The project shop is called Le magasin")).toBeInTheDocument();
    expect(sent).toEqual([{ name: "Le magasin" }]);
  });
  it("stays while something is in it, and says why", async () => {
    open();
    for (const [slug, why] of [
      ["default", /It has 2 apps/],
      ["office", /It has 1 deleted app,/],
    ] as const) {
      const button = await screen.findByRole("button", { name: `Remove ${slug}` });
      expect(button).toBeDisabled();
      expect(button).toHaveAccessibleDescription(why);
    }
  });
  it("stays when it is the only one", async () => {
    open({ items: [makeProject("shop")] });
    const button = await screen.findByRole("button", { name: "Remove shop" });
    expect(button).toBeDisabled();
    expect(button).toHaveAccessibleDescription(/only project/);
  });
  it("is removed after a question, or its remedy is told", async () => {
    const { user } = open();
    await user.click(await screen.findByRole("button", { name: "Remove shop" }));
    const sure = await dialog();
    expect(sure.getByText(/grants go with it/)).toBeInTheDocument();
    refuse("delete", one, 409, {
      code: "project_in_use",
      message: "project shop has 1 app",
      field: "project",
      hint: "Delete them first",
    });
    await user.click(sure.getByRole("button", { name: "Remove project" }));
    expect(await sure.findByText("Delete them first")).toBeInTheDocument();
    const removed = answer("delete", one, undefined as never, 200);
    await user.click(sure.getByRole("button", { name: "Remove project" }));
    expect(await screen.findByText("The project shop is removed")).toBeInTheDocument();
    expect(removed).toHaveLength(1);
  });
  it("shows its private network, with names and grants", async () => {
    const network = makeNetwork("office", [makeApp("orders-api"), makeApp("blog")]);
    answer("get", "/api/v1/projects/{project}/network", network);
    const { user } = open();
    await user.click(await screen.findByRole("link", { name: "Private network of office" }));
    expect(await screen.findByText("orders-api.default.internal")).toBeInTheDocument();
    expect(screen.getByText(/Apps of office may reach default\/orders-api/)).toBeInTheDocument();
    expect(screen.getByText(/203\.0\.113\.0\/24 port 443/)).toBeInTheDocument();
    expect(screen.getByRole("button", { name: "Grant access" })).toBeEnabled();
    await user.click(screen.getByRole("link", { name: "Close" }));
    expect(screen.queryByText("orders-api.default.internal")).toBeNull();
  });
  it("has a private network that only administrators change", async () => {
    open({ role: "developer", at: "/projects?network=shop" });
    expect(await screen.findByText(/No names yet/)).toBeInTheDocument();
    expect(screen.getByRole("button", { name: "Grant access" })).toBeDisabled();
  });
});
