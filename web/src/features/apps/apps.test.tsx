import { screen, waitFor } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { makeApp, makeDeployment, makeProject, session, settings } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { defaultSettings, formOf, patchOf, problemsOf, serverProblem } from "./form";
import { Component as List } from "./list";
import { Component as New } from "./new";
import { emptySource, sourceProblems } from "./source";

const routes = [
  { path: "/apps", Component: List },
  { path: "/apps/new", Component: New },
  { path: "*", element: <p>elsewhere</p> },
];

describe("the list of apps", () => {
  it("has one sentence, one button and one command when it is empty", async () => {
    answer("get", "/api/v1/apps", { items: [], next: null });
    renderAt("/apps", routes);
    expect(await screen.findByText("No apps yet")).toBeInTheDocument();
    expect(screen.getByText("wh apps create my-app")).toBeInTheDocument();
  });
  it("filters by what the address says", async () => {
    answer("get", "/api/v1/apps", {
      items: [makeApp("shop", { status: "degraded" }), makeApp("blog")],
      next: null,
    });
    const { user, router } = renderAt("/apps?status=degraded", routes);
    expect(await screen.findByRole("link", { name: "shop" })).toBeInTheDocument();
    expect(screen.queryByRole("link", { name: "blog" })).toBeNull();
    await user.selectOptions(screen.getByLabelText("Status"), "");
    expect(screen.getByRole("link", { name: "blog" })).toBeInTheDocument();
    await user.type(screen.getByLabelText("Find an app"), "sho");
    await waitFor(() => expect(router.state.location.search).toBe("?q=sho"));
    expect(screen.queryByRole("link", { name: "blog" })).toBeNull();
  });
});

describe("the list of apps of a project", () => {
  it("is what the address asks for, and can be left", async () => {
    const office = makeApp("desk", { project: { id: "office", slug: "office" } });
    answer("get", "/api/v1/apps", { items: [makeApp("shop"), office], next: null });
    const { user } = renderAt("/apps?project=office", routes);
    expect(await screen.findByRole("link", { name: "desk" })).toBeInTheDocument();
    expect(screen.queryByRole("link", { name: "shop" })).toBeNull();
    await user.selectOptions(screen.getByLabelText("Project"), "");
    expect(screen.getByRole("link", { name: "shop" })).toBeInTheDocument();
  });
});

describe("a new app", () => {
  async function fill(slug: string, projects = ["default"]) {
    answer("get", "/api/v1/session", session);
    answer("get", "/api/v1/projects", {
      items: projects.map((slug) => makeProject(slug)),
      next: null,
    });
    const view = renderAt("/apps/new", routes);
    await view.user.type(await screen.findByLabelText("Name"), slug);
    await view.user.click(screen.getByRole("radio", { name: /Image/ }));
    await view.user.type(screen.getByRole("textbox", { name: "Image" }), "registry.example.com/hello:1");
    return view;
  }

  it("is made, deployed and shown while it deploys", async () => {
    answer("get", "/api/v1/apps", { items: [], next: null });
    const app = makeApp("hello");
    const deployment = makeDeployment(app);
    const created = answer("post", "/api/v1/apps", app, 201);
    const deployed = answer("post", "/api/v1/apps/{app}/deployments", deployment, 202);
    const { user, router } = await fill("hello");
    await user.click(screen.getByRole("button", { name: "Create and deploy" }));
    await waitFor(() =>
      expect(router.state.location.pathname).toBe(`/apps/hello/deployments/${deployment.id}`),
    );
    expect(created).toMatchObject([{ slug: "hello", replicas: 1, port: null }]);
    expect(deployed).toMatchObject([
      { source: { type: "image", reference: "registry.example.com/hello:1" } },
    ]);
  });
  it("gets into the first project once there is no default one", async () => {
    answer("get", "/api/v1/apps", { items: [], next: null });
    const app = makeApp("hello");
    const created = answer("post", "/api/v1/apps", app, 201);
    answer("post", "/api/v1/apps/{app}/deployments", makeDeployment(app), 202);
    const { user } = await fill("hello", ["shop"]);
    await user.click(screen.getByRole("button", { name: "Create and deploy" }));
    await screen.findByText("elsewhere");
    expect(created).toMatchObject([{ slug: "hello", project: "shop" }]);
  });
  it.each([
    ["Git", "Repository", "https://a.example.com/a.git", { folder: "web", path: null }],
    ["Image", "Image", "registry.example.com/a", null],
  ])("from %s is told with its first deployment how to build", async (type, label, text, containerfile) => {
    answer("get", "/api/v1/apps", { items: [], next: null });
    answer("get", "/api/v1/session", session);
    answer("get", "/api/v1/projects", { items: [], next: null });
    const app = makeApp("a");
    const created = answer("post", "/api/v1/apps", app, 201);
    const deployed = answer("post", "/api/v1/apps/{app}/deployments", makeDeployment(app), 202);
    const { user } = renderAt("/apps/new", routes);
    await user.type(await screen.findByLabelText("Name"), "a");
    await user.type(screen.getByLabelText(/^Folder/), "web");
    await user.click(screen.getByRole("radio", { name: new RegExp(type) }));
    await user.type(screen.getByRole("textbox", { name: label }), text);
    await user.click(screen.getByRole("button", { name: "Create and deploy" }));
    await screen.findByText("elsewhere");
    expect(created[0]).not.toHaveProperty("containerfile");
    expect(deployed).toMatchObject([{ settings: { containerfile } }]);
  });
  it("that exists already is deployed with the settings that it has", async () => {
    answer("get", "/api/v1/session", session);
    const app = makeApp("hello", { settings: { ...settings(), command: ["serve"] } });
    answer("get", "/api/v1/apps/{app}", app);
    const deployed = answer("post", "/api/v1/apps/{app}/deployments", makeDeployment(app), 202);
    const { user } = renderAt("/apps/new?app=hello", routes);
    await user.click(await screen.findByRole("radio", { name: /Image/ }));
    await user.type(screen.getByRole("textbox", { name: "Image" }), "registry.example.com/hello:1");
    await user.click(screen.getByRole("button", { name: "Deploy" }));
    await screen.findByText("elsewhere");
    expect(deployed).toMatchObject([{ settings: app.settings }]);
  });
  it("does not make the app again when only its deployment was refused", async () => {
    answer("get", "/api/v1/apps", { items: [], next: null });
    const created = answer("post", "/api/v1/apps", makeApp("hello"), 201);
    refuse("post", "/api/v1/apps/{app}/deployments", 503, { code: "unavailable", message: "Try later." });
    const { user } = await fill("hello");
    const button = screen.getByRole("button", { name: "Create and deploy" });
    await user.click(button);
    expect(await screen.findByText("Try later.")).toBeInTheDocument();
    const again = answer("post", "/api/v1/apps/{app}/deployments", makeDeployment(makeApp("hello")), 202);
    await user.click(screen.getByRole("button", { name: "Create and deploy" }));
    await screen.findByText("elsewhere");
    expect([created.length, again.length]).toEqual([1, 1]);
  });
  it("says beside the name that it is taken", async () => {
    answer("get", "/api/v1/apps", { items: [], next: null });
    refuse("post", "/api/v1/apps", 409, { code: "slug_taken", message: "…", field: "slug" });
    const { user } = await fill("hello");
    await user.click(screen.getByRole("button", { name: "Create and deploy" }));
    await waitFor(() => expect(screen.getByLabelText("Name")).toHaveAccessibleDescription(/taken/));
  });
  it("shows the address that the app will have", async () => {
    answer("get", "/api/v1/apps", { items: [], next: null });
    await fill("hello");
    expect(screen.getByText(/route\.example\.com/)).toHaveTextContent("https://hello.route.example.com");
  });
  it("asks for the project where there are several", async () => {
    answer("get", "/api/v1/apps", { items: [], next: null });
    const app = makeApp("hello");
    const created = answer("post", "/api/v1/apps", app, 201);
    answer("post", "/api/v1/apps/{app}/deployments", makeDeployment(app), 202);
    const { user } = await fill("hello", ["default", "shop"]);
    await user.selectOptions(await screen.findByLabelText("Project"), "shop");
    await user.click(screen.getByRole("button", { name: "Create and deploy" }));
    await screen.findByText("elsewhere");
    expect(created).toMatchObject([{ slug: "hello", project: "shop" }]);
  });
  it("checks the name while it is typed", async () => {
    answer("get", "/api/v1/apps", { items: [], next: null });
    answer("get", "/api/v1/session", session);
    answer("get", "/api/v1/projects", { items: [], next: null });
    const { user } = renderAt("/apps/new", routes);
    await user.type(await screen.findByLabelText("Name"), "9lives");
    expect(screen.getByLabelText("Name")).toHaveAccessibleDescription("Starts with a letter.");
  });
});

describe("the form of settings", () => {
  it("gives back what it was given", () => {
    expect(patchOf(formOf(settings()))).toEqual(settings());
    expect(problemsOf(formOf(defaultSettings))).toEqual({});
  });
  it("refuses what cannot be right", () => {
    const form = {
      ...formOf(defaultSettings),
      port: "70000",
      cpu: "0",
      memory: "1.5",
      check: "http" as const,
      path: "up",
    };
    expect(Object.keys(problemsOf(form)).sort()).toEqual(["cpu", "memory", "path", "port"]);
  });
  it("finds the place of the server's complaint", () => {
    expect(serverProblem("settings.probe.interval_s", "m")).toEqual({ interval: "m" });
    expect(serverProblem("unheard_of", "m")).toEqual({});
  });
});

describe("the source", () => {
  it("must be complete", () => {
    const file = (name: string) => new File(["x"], name);
    expect(sourceProblems(emptySource)).toHaveProperty("file");
    expect(sourceProblems({ ...emptySource, file: file("a.zip") })).toHaveProperty("file");
    expect(sourceProblems({ ...emptySource, file: file("a.tar.gz") })).toEqual({});
    expect(sourceProblems({ ...emptySource, type: "git", url: "https://git.example.com/a.git" })).toEqual({});
    expect(sourceProblems({ ...emptySource, type: "git", url: "git@git.example.com:team/a.git" })).toEqual(
      {},
    );
    expect(sourceProblems({ ...emptySource, type: "git", url: "--upload-pack=x", ref: " " })).toEqual({
      url: expect.any(String),
      ref: expect.any(String),
    });
  });
});
