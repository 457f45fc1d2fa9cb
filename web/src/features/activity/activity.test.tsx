import { QueryClient } from "@tanstack/react-query";
import { screen } from "@testing-library/react";
import { Outlet } from "react-router";
import { describe, expect, it, vi } from "vitest";
import { keys } from "@/api/keys";
import { gatherInvalidations } from "@/api/live";
import type { Activity } from "@/api/types";
import { ago, id, makeApp } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer } from "@/testing/server";
import { Component } from "./page";

const deployment = id();
const failed: Activity = {
  id: id(),
  at: ago(5),
  actor: "system",
  action: "deployment.fail",
  text: "Deployment 8 failed: Nothing listens on port 3000.",
  deployment,
};
const scaled: Activity = {
  id: id(),
  at: ago(60),
  actor: "user:ada@example.com",
  action: "app.scale",
  text: "Ada scaled the app from 1 to 3 instances",
  deployment: null,
};

function open(items: Activity[]) {
  answer("get", "/api/v1/apps/{app}/activity", { items, next: null });
  return renderAt("/here", [
    { path: "/here", element: <Outlet context={makeApp("hello")} />, children: [{ index: true, Component }] },
  ]);
}

describe("the activity of an app", () => {
  it("tells what happened in sentences, and leads to deployments", async () => {
    open([failed, scaled]);
    expect(await screen.findByRole("link", { name: failed.text })).toHaveAttribute(
      "href",
      `/apps/hello/deployments/${deployment}`,
    );
    expect(screen.getByText(scaled.text)).toHaveAttribute("title", scaled.actor);
    expect(screen.queryByRole("link", { name: scaled.text })).toBeNull();
  });
  it("says so when nothing happened", async () => {
    open([]);
    expect(await screen.findByText("Nothing happened yet")).toBeInTheDocument();
  });
  it.each(["apps", "deployments", "instances"] as const)("is fetched again when %s change", (topic) => {
    vi.useFakeTimers();
    const client = new QueryClient();
    const fetched = vi.spyOn(client, "invalidateQueries");
    gatherInvalidations(client).add(topic);
    vi.runAllTimers();
    expect(fetched).toHaveBeenCalledWith({ queryKey: keys.activity });
  });
});
