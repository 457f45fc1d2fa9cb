import { screen, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { makeApp, makeDeployment, makeQueuedBuild, session } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer } from "@/testing/server";
import { Component as Page } from "./page";

const [shop, blog] = [makeApp("shop"), makeApp("blog")];
const running = makeQueuedBuild(shop, { state: "running", position: null, reason: null, node: "worker-1" });
const first = makeQueuedBuild(blog, { position: 1 });
const second = makeQueuedBuild(shop, {
  position: 2,
  reason: "deployment 14 of this app goes first",
  deployment: { id: "d-15", number: 15, kind: "build" },
});

function open(role: "admin" | "developer", builds = [running, first, second]) {
  answer("get", "/api/v1/session", { ...session, organization: { ...session.organization, role } });
  answer("get", "/api/v1/jobs", { items: builds, next: null });
  return renderAt("/queue", [{ path: "/queue", Component: Page }]);
}

describe("the queue", () => {
  it("shows who builds where, and who waits at which place and why", async () => {
    open("developer");
    const row = async (name: RegExp) => within(await screen.findByRole("row", { name }));
    expect((await row(/shop #14|Running/)).getByRole("link", { name: "worker-1" })).toBeInTheDocument();
    expect((await row(/blog/)).getByText(first.reason ?? "")).toBeInTheDocument();
    expect((await row(/shop #15/)).getByText("2")).toBeInTheDocument();
    expect((await row(/shop #15/)).getByText("deployment 14 of this app goes first")).toBeInTheDocument();
  });
  it("lets an admin move what waits to the front, and nobody else", async () => {
    const { user } = open("admin");
    const moved = answer("post", "/api/v1/deployments/{id}/front", makeDeployment(shop));
    await user.click(await screen.findByRole("button", { name: "Move shop #15 to the front" }));
    expect(moved).toHaveLength(1);
    expect(screen.getAllByRole("button", { name: /to the front/ })).toHaveLength(1);
  });
  it("offers no way to the front to a developer, but one to cancel", async () => {
    const { user } = open("developer");
    const cancelled = answer("post", "/api/v1/deployments/{id}/cancel", makeDeployment(shop), 202);
    await user.click(await screen.findByRole("button", { name: "Cancel shop #15" }));
    expect(screen.queryByRole("button", { name: /to the front/ })).toBeNull();
    await user.click(screen.getByRole("button", { name: "Cancel deployment" }));
    expect(cancelled).toHaveLength(1);
  });
  it("says so when nothing waits", async () => {
    open("developer", []);
    expect(await screen.findByText("Nothing waits")).toBeInTheDocument();
  });
});
