import { screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { Pending } from "@/api/types";
import { makeApp, makeChange, makeDeployment, preview } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { PendingChanges } from "./pending";

const app = makeApp("shop");
const changes = [
  makeChange("resources.memory_mb", { label: "memory", before: "512 MiB", after: "1024 MiB" }),
  makeChange("variables.TOKEN", { label: "variable TOKEN", kind: "added" }),
];

function show(pending: Partial<Pending>) {
  answer("get", "/api/v1/apps/{app}/pending", {
    release: 14,
    deployment: null,
    applicable: true,
    changes,
    impact: "containers",
    preview,
    ...pending,
  });
  return renderAt("/", [
    { path: "/", element: <PendingChanges app={app} /> },
    { path: "*", element: <p>elsewhere</p> },
  ]);
}

describe("pending changes", () => {
  it("are told with what they take and applied with one click", async () => {
    const deployment = makeDeployment(app);
    const applied = answer("post", "/api/v1/apps/{app}/apply", deployment, 202);
    const { user, router } = show({});
    const banner = await screen.findByRole("status");
    expect(banner).toHaveTextContent("2 pending changes");
    expect(banner).toHaveTextContent("memory 512 MiB → 1024 MiB");
    expect(banner).toHaveTextContent("variable TOKEN added");
    expect(banner).toHaveTextContent("nothing is built");
    expect(banner).toHaveTextContent("No downtime: the instances that run serve");
    expect(within(banner).getAllByRole("listitem").slice(-6)[0]).toHaveTextContent("on worker-1");
    await user.click(screen.getByRole("button", { name: "Apply" }));
    await waitFor(() =>
      expect(router.state.location.pathname).toBe(`/apps/shop/deployments/${deployment.id}`),
    );
    expect(applied).toEqual([{}]);
  });
  it("that take a build are not offered to be applied", async () => {
    const target = makeChange("containerfile.target", {
      label: "build target",
      kind: "added",
      after: "run",
      impact: "build",
    });
    show({ applicable: false, changes: [target], impact: "build" });
    expect(await screen.findByRole("status")).toHaveTextContent("deploy the source again");
    expect(screen.queryByRole("button", { name: "Apply" })).toBeNull();
    expect(screen.getByRole("link", { name: "Deploy" })).toHaveAttribute("href", "/apps/shop#deploy");
  });
  it("are not shown while a deployment is under way, or when there are none", async () => {
    for (const pending of [
      { deployment: 18, applicable: false },
      { applicable: false, changes: [] },
    ]) {
      const { client, container, unmount } = show(pending);
      await waitFor(() => expect(client.isFetching()).toBe(0));
      await waitFor(() => expect(client.getQueryCache().getAll()[0]?.state.status).toBe("success"));
      expect(container).toHaveTextContent("");
      expect(screen.queryByRole("button")).toBeNull();
      unmount();
    }
  });
  it("stay when they cannot be applied, with the reason", async () => {
    refuse("post", "/api/v1/apps/{app}/apply", 409, {
      code: "deployment_running",
      message: "Deployment 18 is still under way.",
    });
    const { user } = show({});
    await user.click(await screen.findByRole("button", { name: "Apply" }));
    expect(await screen.findByText(/Deployment 18 is still under way/)).toBeInTheDocument();
    expect(screen.getByRole("button", { name: "Apply" })).toBeInTheDocument();
  });
});
