import { screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { App, Instance } from "@/api/types";
import { makeApp, makeDeployment, makeInstance, makeNode } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { InstanceTable } from "./instances";

function show(app: App, instance: Instance) {
  return renderAt("/here", [
    { path: "/here", element: <InstanceTable app={app} instances={[instance]} /> },
    { path: "*", element: <p>elsewhere</p> },
  ]);
}

const app = makeApp("hello");
const instance = makeInstance(makeNode("w1"), { in_rotation: true, wanted: true });
const path = "/api/v1/apps/{app}/instances/{instance}/restart";
const button = { name: `Restart instance ${instance.id.slice(-8)}` };

describe("the restart of one instance", () => {
  it("is asked about, and leads to its deployment", async () => {
    const deployment = makeDeployment(app);
    const asked = answer("post", path, { app, deployment }, 202);
    const { user, router } = show(app, instance);
    await user.click(screen.getByRole("button", button));
    expect(asked).toHaveLength(0);
    await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Restart" }));
    await waitFor(() =>
      expect(router.state.location.pathname).toBe(`/apps/hello/deployments/${deployment.id}`),
    );
    expect(asked).toHaveLength(1);
  });
  it("says why it was refused", async () => {
    refuse("post", path, 409, {
      code: "deployment_running",
      message: "deployment 7 of this app is still under way",
      field: null,
      hint: null,
    });
    const { user } = show(app, instance);
    await user.click(screen.getByRole("button", button));
    await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Restart" }));
    expect(await screen.findByText(/Deployment 7 of this app/)).toBeInTheDocument();
  });
  it("is not offered for one that gets no requests, or of a stopped app", () => {
    const { unmount } = show(app, { ...instance, in_rotation: false });
    expect(screen.queryByRole("button", button)).toBeNull();
    unmount();
    show(makeApp("hello", { stopped_at: "2026-11-21T10:00:00Z" }), instance);
    expect(screen.queryByRole("button", button)).toBeNull();
  });
});
