import { screen, within } from "@testing-library/react";
import { Outlet } from "react-router";
import { beforeEach, describe, expect, it } from "vitest";
import { makeApp, makeChange, makeDeployment, makeRelease } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer } from "@/testing/server";
import { Component as List } from "./list";

const app = makeApp("shop", { release: { number: 3, created_at: new Date().toISOString() } });
const routes = [{ element: <Outlet context={app} />, children: [{ path: "/", Component: List }] }];
const memory = makeChange("resources.memory_mb", { label: "memory", before: "512 MiB", after: "1024 MiB" });

function show() {
  const items = [makeRelease(3, { current: true }), makeRelease(2), makeRelease(1)];
  answer("get", "/api/v1/apps/{app}/releases", { items, next: null });
  return renderAt("/", routes);
}

beforeEach(() => {
  answer("get", "/api/v1/apps/{app}/deployments", { items: [], next: null });
});

describe("releases", () => {
  it("say who made them, by which deployment and with which message", async () => {
    const made = makeDeployment(app, { number: 7, kind: "build", message: "Prices with tax" });
    answer("get", "/api/v1/apps/{app}/deployments", { items: [made], next: null });
    const items = [makeRelease(3, { deployment_id: made.id }), makeRelease(2, { deployment_id: "older" })];
    answer("get", "/api/v1/apps/{app}/releases", { items, next: null });
    renderAt("/", routes);
    const link = await screen.findByRole("link", { name: "Build #7" });
    expect(link).toHaveAttribute("href", `/apps/shop/deployments/${made.id}`);
    expect(screen.getByRole("row", { name: /v3/ })).toHaveTextContent(/Prices with tax.*by ada@example.com/);
    expect(screen.getByRole("link", { name: "Deployment" })).toHaveAttribute(
      "href",
      "/apps/shop/deployments/older",
    );
  });
  it("are compared with the one that serves, and then with any other", async () => {
    answer("get", "/api/v1/apps/{app}/releases/{a}/diff/{b}", {
      before: 1,
      after: 3,
      changes: [memory],
      impact: "containers",
    });
    const { user, client } = show();
    await user.click(await screen.findByRole("button", { name: "Compare v1" }));
    const dialog = within(screen.getByRole("dialog"));
    expect(await dialog.findByText("1024 MiB")).toBeInTheDocument();
    expect(dialog.getByLabelText("From")).toHaveValue("1");
    expect(dialog.getByLabelText("To")).toHaveValue("3");
    answer("get", "/api/v1/apps/{app}/releases/{a}/diff/{b}", {
      before: 2,
      after: 3,
      changes: [],
      impact: "nothing",
    });
    await user.selectOptions(dialog.getByLabelText("From"), "2");
    expect(await dialog.findByText(/the same image/)).toBeInTheDocument();
    const asked = client.getQueryCache().findAll({ queryKey: ["releases", "shop", "diff"] });
    expect(asked.map((query) => query.queryKey.slice(3))).toEqual([
      [1, 3],
      [2, 3],
    ]);
  });
  it("offer no way back to one whose image is not kept, and say what helps", async () => {
    const items = [
      makeRelease(3, { current: true }),
      makeRelease(2),
      makeRelease(1, { kept: false, commit: "8c41f02be6d7a903" }),
    ];
    answer("get", "/api/v1/apps/{app}/releases", { items, next: null });
    renderAt("/", routes);
    expect(await screen.findByRole("button", { name: "Roll back to v2" })).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: "Roll back to v1" })).not.toBeInTheDocument();
    expect(screen.getByText("Deploy commit 8c41f02b again to bring it back.")).toBeInTheDocument();
  });
  it("show what a rollback would change before it happens", async () => {
    answer("get", "/api/v1/apps/{app}/releases/{a}/diff/{b}", {
      before: 3,
      after: 2,
      changes: [memory],
      impact: "containers",
    });
    const { user, client } = show();
    await user.click(await screen.findByRole("button", { name: "Roll back to v2" }));
    expect(await within(screen.getByRole("dialog")).findByText("1024 MiB")).toBeInTheDocument();
    expect(client.getQueryData(["releases", "shop", "diff", 3, 2])).toMatchObject({ before: 3 });
  });
});
