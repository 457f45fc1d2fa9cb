import { screen, waitFor, within } from "@testing-library/react";
import { Outlet } from "react-router";
import { describe, expect, it } from "vitest";
import type { App } from "@/api/types";
import { makeApp, makeDeployment } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { DeleteApp } from "./deletion";
import { Component as List } from "./list";
import { Power } from "./power";

const tombstone = {
  id: "0198c0de-0000-7000-8000-000000000001",
  slug: "hello",
  deleted_at: "2026-11-21T10:00:00Z",
  deleted_by: "ada@example.com",
  gone_at: "2026-11-28T10:00:00Z",
  pieces: {
    domains: 0,
    containers: 2,
    variables: 1,
    releases: 3,
    deployments: 4,
    uploads: 0,
    certificates: 1,
    git_access: 1,
  },
};

function show(app: App) {
  return renderAt("/here", [
    {
      path: "/here",
      element: (
        <>
          <Power app={app} />
          <DeleteApp app={app} />
          <Outlet />
        </>
      ),
    },
    { path: "*", element: <p>elsewhere</p> },
  ]);
}

describe("the power of an app", () => {
  it("scales by a number and follows the deployment", async () => {
    const app = makeApp("hello");
    const deployment = makeDeployment(app);
    const asked = answer("post", "/api/v1/apps/{app}/scale", { app, deployment }, 202);
    const { user, router } = show(app);
    await user.click(screen.getByRole("button", { name: "More actions" }));
    await user.click(screen.getByRole("menuitem", { name: "Scale…" }));
    const field = screen.getByLabelText("Instances");
    await user.clear(field);
    await user.type(field, "0");
    expect(screen.getByRole("button", { name: "Scale" })).toBeDisabled();
    await user.clear(field);
    await user.type(field, "3");
    await user.click(screen.getByRole("button", { name: "Scale" }));
    await waitFor(() =>
      expect(router.state.location.pathname).toBe(`/apps/hello/deployments/${deployment.id}`),
    );
    expect(asked).toEqual([{ replicas: 3 }]);
  });

  it("says which deployment holds a stop up", async () => {
    refuse("post", "/api/v1/apps/{app}/stop", 409, {
      code: "deployment_running",
      message: "deployment 7 of this app is still under way",
      field: null,
      hint: "Wait for it or cancel it, then try again",
    });
    const { user } = show(makeApp("hello"));
    await user.click(screen.getByRole("button", { name: "More actions" }));
    await user.click(screen.getByRole("menuitem", { name: "Stop…" }));
    await user.click(screen.getByRole("button", { name: "Stop" }));
    expect(await screen.findByText(/Deployment 7 of this app/)).toBeInTheDocument();
  });

  it("offers a stopped app its start, and no restart", async () => {
    const app = makeApp("hello", { status: "stopped", stopped_at: "2026-11-21T10:00:00Z" });
    const deployment = makeDeployment(app);
    const asked = answer("post", "/api/v1/apps/{app}/start", { app, deployment }, 202);
    const { user } = show(app);
    await user.click(screen.getByRole("button", { name: "More actions" }));
    expect(screen.queryByRole("menuitem", { name: "Restart…" })).toBeNull();
    await user.click(screen.getByRole("button", { name: "Start" }));
    expect(await screen.findByText("elsewhere")).toBeInTheDocument();
    expect(asked).toHaveLength(1);
  });
});

describe("a deletion", () => {
  it("happens only after the name was typed", async () => {
    const asked = answer("delete", "/api/v1/apps/{app}", tombstone);
    const { user, router } = show(makeApp("hello"));
    await user.click(screen.getByRole("button", { name: "Delete hello" }));
    const dialog = within(screen.getByRole("dialog"));
    await user.type(dialog.getByLabelText("Type hello to confirm"), "hell");
    expect(dialog.getByRole("button", { name: "Delete" })).toBeDisabled();
    await user.type(dialog.getByLabelText("Type hello to confirm"), "o");
    await user.click(dialog.getByRole("button", { name: "Delete" }));
    await waitFor(() => expect(router.state.location.pathname).toBe("/apps"));
    expect(asked).toHaveLength(1);
  });

  it("can be undone from the list", async () => {
    answer("get", "/api/v1/apps", { items: [], next: null });
    answer("get", "/api/v1/tombstones", { items: [tombstone], next: null });
    const asked = answer(
      "post",
      "/api/v1/apps/{app}/undelete",
      { app: makeApp("hello"), deployment: null },
      202,
    );
    const { user, router } = renderAt("/apps", [
      { path: "/apps", Component: List },
      { path: "*", element: <p>elsewhere</p> },
    ]);
    expect(
      await screen.findByText(
        /: 1 variable, 3 releases, 4 deployments, 1 certificate, access to its repository\./,
      ),
    ).toBeVisible();
    expect(await screen.findByText("hello was deleted")).toBeInTheDocument();
    await user.click(screen.getByRole("button", { name: "Undo" }));
    await waitFor(() => expect(router.state.location.pathname).toBe("/apps/hello"));
    expect(asked).toHaveLength(1);
  });
});
