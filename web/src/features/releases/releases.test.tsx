import { screen, within } from "@testing-library/react";
import { Outlet } from "react-router";
import { describe, expect, it } from "vitest";
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

describe("releases", () => {
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
  it("say who made them and why, and a rollback says so too", async () => {
    const origin = {
      number: 4,
      kind: "build" as const,
      created_by: "bo@example.com",
      message: "faster search",
      duration_ms: 41_000,
    };
    const items = [makeRelease(2), makeRelease(1, { current: true, rolled_back_from: 2, origin })];
    answer("get", "/api/v1/apps/{app}/releases", { items, next: null });
    answer("get", "/api/v1/apps/{app}/releases/{a}/diff/{b}", {
      before: 3,
      after: 2,
      changes: [memory],
      impact: "containers",
    });
    const asked = answer("post", "/api/v1/apps/{app}/rollback", makeDeployment(app), 202);
    const { user } = renderAt("/", [...routes, { path: "*", element: <p>elsewhere</p> }]);
    const row = (await screen.findByText("faster search")).closest("tr");
    expect(row).toHaveTextContent("rollback from v2");
    expect(row).toHaveTextContent("by bo@example.com · took 41");
    await user.click(screen.getByRole("button", { name: "Roll back to v2" }));
    const dialog = within(screen.getByRole("dialog"));
    await user.type(dialog.getByLabelText(/Reason/), "search is wrong");
    await user.click(dialog.getByRole("button", { name: "Roll back" }));
    await screen.findByText("elsewhere");
    expect(asked).toEqual([{ release: 2, message: "search is wrong" }]);
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
