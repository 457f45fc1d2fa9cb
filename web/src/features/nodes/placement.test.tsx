import { screen, within } from "@testing-library/react";
import { HttpResponse, http } from "msw";
import { describe, expect, it } from "vitest";
import type { Drain, Move } from "@/api/placement";
import { makeNode, makePlacement, makePlannedMove } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, server } from "@/testing/server";
import { Component as List } from "./list";
import { Component as Page } from "./page";

const routes = [
  { path: "/nodes", Component: List },
  { path: "/nodes/:node", Component: Page },
];

const node = makeNode("worker-1");

function show(over: Parameters<typeof makePlacement>[1] = {}) {
  answer("get", "/api/v1/nodes/{node}", node);
  answer("get", "/api/v1/nodes/{node}/placement", makePlacement("worker-1", over));
  return renderAt("/nodes/worker-1", routes);
}

describe("the room of a worker", () => {
  it("is what is reserved of what there is", async () => {
    show({ max_instances: 10 });
    expect(await screen.findByText("2304 of 31656 MiB")).toBeInTheDocument();
    expect(screen.getByText("4.5 of 79 cores")).toBeInTheDocument();
    expect(screen.getByText("4 of 10")).toBeInTheDocument();
  });
  it("is not shown of a host that runs no apps", async () => {
    answer("get", "/api/v1/nodes/{node}", makeNode("proxy-1", { roles: ["proxy"] }));
    renderAt("/nodes/proxy-1", routes);
    await screen.findByText("Known since");
    expect(screen.queryByText("Placement")).toBeNull();
  });
  it("can be given to builds alone", async () => {
    const patches = answer("patch", "/api/v1/nodes/{node}/placement", makePlacement("worker-1"));
    const { user } = show();
    await user.click(await screen.findByLabelText("Takes apps"));
    await user.type(screen.getByLabelText(/Most instances/), "0");
    expect(screen.getByText("A whole number from 1 to 10000.")).toBeInTheDocument();
    await user.clear(screen.getByLabelText(/Most instances/));
    await user.click(screen.getByRole("button", { name: "Save" }));
    await screen.findByText("Saved; what runs on worker-1 stays");
    expect(patches).toEqual([{ takes_apps: false, takes_builds: true, max_instances: null }]);
  });
});

const draining: Drain = {
  started_by: "ada@example.com",
  started_at: "2026-01-01T00:00:00Z",
  finished_at: null,
  instances: 3,
  left: [
    { instance: "i-1", app: "shop", stage: "moving", deployment: 7, problem: null, next_try_at: null },
    {
      instance: "i-2",
      app: "db",
      stage: "waiting",
      deployment: null,
      problem: "no worker can take it",
      next_try_at: null,
    },
  ],
  others: 0,
};

describe("a drain", () => {
  it("is asked for with what would go where", async () => {
    answer("get", "/api/v1/nodes/{node}/drain/preview", {
      items: [makePlannedMove("shop"), makePlannedMove("db", { to: null, reason: "worker-2: cordoned" })],
      next: null,
    });
    const asked = answer("post", "/api/v1/nodes/{node}/drain", draining, 202);
    const { user } = show();
    await user.click(await screen.findByRole("button", { name: "Drain" }));
    const dialog = within(screen.getByRole("dialog"));
    expect(await dialog.findByText("1 of 2 cannot move now")).toBeInTheDocument();
    expect(dialog.getByText("worker-2: cordoned")).toBeInTheDocument();
    expect(asked).toHaveLength(0);
    await user.click(dialog.getByRole("button", { name: "Drain" }));
    await screen.findByText("worker-1 is emptied; uncordon it to stop that");
    expect(asked).toHaveLength(1);
  });
  it("shows how far it is, and what cannot move and why", async () => {
    show({ cordoned_at: draining.started_at, drain: draining });
    expect(await screen.findByText("Drained: 1 of 3 are elsewhere")).toBeInTheDocument();
    expect(screen.getByRole("progressbar", { name: "Drain of worker-1" })).toHaveAttribute(
      "aria-valuenow",
      "1",
    );
    expect(screen.getByText(/another starts in its place/)).toHaveTextContent("deployment 7");
    expect(screen.getByText("no worker can take it")).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: "Drain" })).toBeNull();
  });
  it("is taken back by uncordoning", async () => {
    const asked = answer("post", "/api/v1/nodes/{node}/uncordon", makePlacement("worker-1"));
    const { user } = show({ cordoned_at: draining.started_at, drain: draining });
    await user.click(await screen.findByRole("button", { name: "Uncordon" }));
    await screen.findByText("worker-1 takes apps again");
    expect(asked).toHaveLength(1);
  });
});

describe("the list of nodes", () => {
  const list = (moves: Move[]) => {
    answer("get", "/api/v1/node-tokens", { items: [], next: null });
    answer("get", "/api/v1/nodes", { items: [node], next: null });
    answer("get", "/api/v1/moves", { items: moves, others: 0 });
  };
  it("marks a node that takes nothing new", async () => {
    list([]);
    answer("get", "/api/v1/placement/nodes", {
      items: [makePlacement("worker-1", { id: node.id, cordoned_at: draining.started_at, drain: draining })],
      next: null,
    });
    renderAt("/nodes", routes);
    expect(await screen.findByText("drained, 2 to go")).toBeInTheDocument();
  });
  it("moves what a preview showed, and nothing before that", async () => {
    list([]);
    const planned = makePlannedMove("shop", { reason: "worker-1 is 90 % reserved" });
    answer("get", "/api/v1/rebalance/preview", { items: [planned], next: null });
    const asked = answer("post", "/api/v1/rebalance", { items: [], others: 0 }, 202);
    const { user } = renderAt("/nodes", routes);
    await user.click(await screen.findByRole("button", { name: "Rebalance…" }));
    expect(await screen.findByText("worker-1 is 90 % reserved")).toBeInTheDocument();
    expect(asked).toHaveLength(0);
    await user.click(screen.getByRole("button", { name: "Move 1" }));
    await screen.findByText("They move, a few at a time");
    expect(asked).toEqual([
      { moves: [{ instance: planned.instance, to: "worker-2", reason: "worker-1 is 90 % reserved" }] },
    ]);
  });
  it("tells why one was not moved", async () => {
    list([
      {
        id: "m-1",
        instance: "i-1",
        app: "shop",
        from: "worker-1",
        to: "worker-2",
        cause: "rebalance",
        reason: "worker-1 is 90 % reserved",
        state: "failed",
        deployment: 7,
        problem: "deployment 7: Nothing listens on port 3000.",
        changed_at: "2026-01-01T00:00:00Z",
      },
    ]);
    renderAt("/nodes", routes);
    expect(await screen.findByText("Not moved")).toBeInTheDocument();
    expect(screen.getByText("deployment 7: Nothing listens on port 3000.")).toBeInTheDocument();
  });
  it("takes back what has not begun, and counts what is of others", async () => {
    const waiting: Move = {
      id: "m-2",
      instance: "i-1",
      app: "shop",
      from: "worker-1",
      to: "worker-2",
      cause: "rebalance",
      reason: "worker-1 is 90 % reserved",
      state: "waiting",
      deployment: null,
      problem: null,
      changed_at: "2026-01-01T00:00:00Z",
    };
    list([]);
    answer("get", "/api/v1/moves", {
      items: [waiting, { ...waiting, id: "m-3", cause: "drain" }],
      others: 2,
    });
    let taken = "";
    server.use(
      http.delete("*/api/v1/moves/:id", ({ params }) => {
        taken = String(params.id);
        return new HttpResponse(null, { status: 204 });
      }),
    );
    const { user } = renderAt("/nodes", routes);
    expect(await screen.findByText("2 instances of other organizations")).toBeInTheDocument();
    await user.click(screen.getByRole("button", { name: "Cancel" }));
    await screen.findByText("shop stays on worker-1");
    expect(taken).toBe("m-2");
  });
});
