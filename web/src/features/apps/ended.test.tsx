import { screen, waitFor, within } from "@testing-library/react";
import { Outlet } from "react-router";
import { describe, expect, it } from "vitest";
import type { App, Failure, Instance } from "@/api/types";
import { ago, makeApp, makeDeployment, makeInstance, makeNode } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer } from "@/testing/server";
import { InstanceTable } from "./instances";
import { Component as Overview } from "./overview";

const failure: Failure = {
  code: "crash_looping",
  message: "the app ended 6 times in a row, last with exit code 137; it is not started again",
  hint: "Raise the limit",
  stage: "start",
  exit_code: 137,
  out_of_memory: true,
  last_lines: ["allocating", "more"],
  probe: null,
};

function show(app: App) {
  answer("get", "/api/v1/apps/{app}/instances", { items: [], next: null });
  answer("get", "/api/v1/apps/{app}/deployments", { items: [], next: null });
  return renderAt("/apps/hello", [
    {
      path: "/apps/hello",
      element: <Outlet context={app} />,
      children: [{ index: true, Component: Overview }],
    },
    { path: "*", element: <p>elsewhere</p> },
  ]);
}

describe("an app that ended by itself", () => {
  it("says why, and is restarted from there once the guard has stopped it", async () => {
    const app = makeApp("hello", { status: "crash-looping", failure });
    const deployment = makeDeployment(app);
    const asked = answer("post", "/api/v1/apps/{app}/restart", { app, deployment }, 202);
    const { user } = show(app);
    const card = within(screen.getByRole("region", { name: "Why it ended" }));
    expect(card.getByRole("heading", { level: 2 })).toHaveTextContent("The app ended 6 times in a row");
    expect(card.getByText(/137/, { selector: "dd" })).toHaveTextContent("killed");
    expect(card.getByText(/used more memory than it may/)).toBeInTheDocument();
    expect(card.getByText(/allocating/)).toBeInTheDocument();
    await user.click(card.getByRole("button", { name: "Restart" }));
    await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Restart" }));
    await waitFor(() => expect(asked).toHaveLength(1));
  });

  it("needs nobody while it is started again by itself", () => {
    show(makeApp("hello", { status: "failed", failure: { ...failure, code: "crashed" } }));
    const card = within(screen.getByRole("region", { name: "Why it ended" }));
    expect(card.queryByRole("button", { name: "Restart" })).toBeNull();
  });
});

describe("what was seen too long ago", () => {
  const table = (over: Partial<Instance>) =>
    renderAt("/here", [
      {
        path: "/here",
        element: <InstanceTable app={makeApp("hello")} instances={[makeInstance(makeNode("w1"), over)]} />,
      },
    ]);

  it("is unknown, since when, and what it was then", () => {
    table({ observed_at: ago(180), unknown_since: ago(180) });
    expect(screen.getByText("Unknown")).toBeInTheDocument();
    expect(screen.getByText(/^since/)).toHaveTextContent(/3 min.*then healthy/);
    expect(screen.queryByText("Healthy")).toBeNull();
  });

  it("is told with its age while it is young", () => {
    table({ observed_at: ago(4) });
    expect(screen.getByText("Healthy")).toBeInTheDocument();
    expect(screen.getByText(/^observed/)).toBeInTheDocument();
  });
});
