import { act, screen, waitFor } from "@testing-library/react";
import { Outlet } from "react-router";
import { describe, expect, it } from "vitest";
import { ago, failure, makeApp, makeDeployment, makeStages, session } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer } from "@/testing/server";
import { FakeEventSource } from "@/testing/setup";
import { Component as List } from "./list";
import { Component as Page } from "./page";

const app = makeApp("hello");
const running = makeDeployment(app, {
  state: "building",
  stages: makeStages(9, [0.2, 1, 0], "running"),
  finished_at: null,
});
const routes = [{ path: "/apps/:app/deployments/:id", Component: Page }];

async function open(deployment = running) {
  answer("get", "/api/v1/deployments/{id}", deployment);
  const view = renderAt(`/apps/hello/deployments/${deployment.id}`, routes);
  await screen.findByRole("heading", { name: /Deployment #/ });
  const stream = FakeEventSource.opened.at(-1);
  if (!stream) throw new Error("no stream was opened");
  act(() => stream.open());
  return { ...view, stream };
}

describe("a deployment", () => {
  it("counts each line of its log once, also after a reconnect that repeats some", async () => {
    const { stream } = await open();
    const line = (seq: number) => ({ seq, at: ago(1), stream: "stdout", text: `line ${seq}` });
    const say = (...numbers: number[]) =>
      act(() => {
        for (const seq of numbers) stream.say("log", line(seq), String(seq));
      });
    say(1, 2, 3);
    say(2, 3, 4);
    expect(await screen.findByText("4 lines")).toBeInTheDocument();
  });
  it("says when its connection is lost and that it goes on", async () => {
    const { stream } = await open();
    act(() => stream.fail(0));
    expect(await screen.findByText("Connection lost, trying again")).toBeInTheDocument();
    act(() => stream.open());
    await waitFor(() => expect(screen.queryByText("Connection lost, trying again")).toBeNull());
  });
  it("shows the address once it is live, and stops listening", async () => {
    const { stream } = await open();
    act(() => stream.say("end", { ...running, state: "live", release: 15, finished_at: ago(0) }));
    expect(await screen.findByText("hello is live with release v15")).toBeInTheDocument();
    expect(screen.getByRole("link", { name: "Open" })).toHaveAttribute("href", app.url);
    expect(stream.readyState).toBe(FakeEventSource.CLOSED);
  });
  it("shows a command that failed once it was live beside its address", async () => {
    await open(makeDeployment(app, { state: "live", release: 15, failure }));
    expect(screen.getByText("hello is live with release v15")).toBeInTheDocument();
    const card = screen.getByRole("region", { name: "Failure" });
    expect(card).toHaveTextContent(failure.message);
    expect(card).not.toHaveTextContent("Stage");
  });
  it("shows cause, remedy and evidence of a failure", async () => {
    await open(makeDeployment(app, { state: "failed", failure, release: null }));
    const card = screen.getByRole("region", { name: "Failure" });
    for (const text of [
      failure.message,
      failure.hint ?? "",
      "never_listened",
      /SIGKILL/,
      /more memory/,
      /connection refused/,
      /allocation of/,
    ]) {
      expect(card).toHaveTextContent(text);
    }
  });
  it("says at which place of the queue it waits and for what, and moves to the front", async () => {
    answer("get", "/api/v1/session", session);
    const waiting = {
      ...running,
      state: "queued" as const,
      queue_position: 3,
      waiting_for: "a free build slot: all 2 build slots of worker-1 are busy",
    };
    const { user } = await open(waiting);
    expect(screen.getByText("Waiting at place 3 in the queue")).toBeInTheDocument();
    expect(screen.getAllByText(/all 2 build slots of worker-1 are busy/)).not.toHaveLength(0);
    const moved = answer("post", "/api/v1/deployments/{id}/front", { ...waiting, queue_position: 1 });
    await user.click(await screen.findByRole("button", { name: "To the front" }));
    expect(await screen.findByText("Waiting at place 1 in the queue")).toBeInTheDocument();
    expect(moved).toHaveLength(1);
    expect(screen.queryByRole("button", { name: "To the front" })).toBeNull();
  });
  it("shows the preset that builds it and the Containerfile that it wrote", async () => {
    const recipe = {
      preset: "static" as const,
      because: ["index.html"],
      others: [],
      port: 8080,
      containerfile: "FROM busybox\nEXPOSE 8080\n",
      ignore: "",
    };
    const { stream, user } = await open();
    expect(screen.queryByRole("region", { name: "Preset" })).toBeNull();
    act(() => stream.say("deployment", { ...running, recipe }));
    const card = await screen.findByRole("region", { name: "Preset" });
    await user.click(screen.getByText(/Built with the preset static/));
    for (const text of ["index.html", "EXPOSE 8080", "wh init --eject"]) expect(card).toHaveTextContent(text);
  });
  it("says who deployed what, and where a fix is deployed after a failure", async () => {
    await open(makeDeployment(app, { state: "failed", failure, release: null, message: "Prices with tax" }));
    expect(screen.getByText("Prices with tax")).toBeInTheDocument();
    expect(screen.getByText(/by ada@example.com/)).toBeInTheDocument();
    expect(screen.getByRole("link", { name: "Deploy a fix" })).toHaveAttribute("href", "/apps/hello#deploy");
  });
  it("is cancelled after a question", async () => {
    const { user } = await open();
    const requests = answer(
      "post",
      "/api/v1/deployments/{id}/cancel",
      { ...running, state: "cancelled", finished_at: ago(0) },
      202,
    );
    await user.click(screen.getByRole("button", { name: "Cancel" }));
    await user.click(screen.getByRole("button", { name: "Cancel deployment" }));
    expect(await screen.findByText("This deployment was cancelled")).toBeInTheDocument();
    expect(requests).toHaveLength(1);
  });
});

describe("the list of deployments", () => {
  it("tells each by its message, if it has one", async () => {
    const items = [
      makeDeployment(app, { number: 2, message: "Prices with tax" }),
      makeDeployment(app, { id: "1", number: 1, kind: "rollback", source: null }),
    ];
    answer("get", "/api/v1/apps/{app}/deployments", { items, next: null });
    renderAt("/", [{ element: <Outlet context={app} />, children: [{ path: "/", Component: List }] }]);
    const second = await screen.findByRole("row", { name: /Prices/ });
    const first = screen.getByRole("row", { name: /Rollback/ });
    expect(second).toHaveTextContent("Prices with taxBuild · git.example.com/fernhill/hello @ main");
    expect(second).toHaveTextContent("by ada@example.com");
    expect(first).toHaveTextContent("Rollbacksame source");
  });
});
