import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it } from "vitest";
import { ago, makeHealing, makeHealth, makeNode, makeTransition } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { clock } from "./health";
import { Component as List } from "./list";
import { Component as Page } from "./page";

const routes = [
  { path: "/nodes", Component: List },
  { path: "/nodes/:node", Component: Page },
];

const silent = makeHealth({
  missing_since: ago(600),
  failures: 4,
  checked_at: ago(80),
  next_check_at: ago(-46),
  error: "no answer from 10.50.0.13:8090 within 5 s",
});
const gone = makeNode("worker-3", { status: "offline", status_since: ago(500), health: silent });

describe("a node that is gone", () => {
  it("says in the list how often it was asked, and when it is asked again", async () => {
    answer("get", "/api/v1/node-tokens", { items: [], next: null });
    answer("get", "/api/v1/nodes", {
      items: [gone, makeNode("far", { status: "unreachable", health: silent }), makeNode("fine")],
      next: null,
    });
    renderAt("/nodes", routes);
    expect(await screen.findAllByText(/4 checks failed/)).toHaveLength(2);
    expect(screen.getByText("Unreachable")).toBeInTheDocument();
    expect(screen.getAllByText(/^in \d+ s$/)).toHaveLength(2);
  });

  it("says on its page what becomes of its instances", async () => {
    answer("get", "/api/v1/nodes/{node}", gone);
    const problem = "no worker can take it (w1: not worker-3, its only node)";
    answer(
      "get",
      "/api/v1/nodes/{node}/healing",
      makeHealing({
        given_up_at: ago(60),
        gone_before: 2,
        routed: false,
        waiting: [
          { app: "shop", instance: "i-1", deployment: 7, problem: null },
          { app: "blog", instance: "i-2", deployment: null, problem },
        ],
        others: 3,
      }),
    );
    renderAt("/nodes/worker-3", routes);
    expect(await screen.findByText("While it is gone")).toBeInTheDocument();
    expect(screen.getByText(/its instances are placed elsewhere/)).toHaveTextContent("gone 2 times");
    expect(screen.getByText("are led elsewhere: no proxy reaches it")).toBeInTheDocument();
    expect(screen.getByText("Deployment #7 places it elsewhere.")).toBeInTheDocument();
    expect(screen.getByText("No worker can take it (w1: not worker-3, its only node).")).toBeInTheDocument();
    expect(screen.getByText("3 instances of other organizations")).toBeInTheDocument();
  });

  it("says on its page why, and how it came to that", async () => {
    answer("get", "/api/v1/nodes/{node}", gone);
    answer("get", "/api/v1/nodes/{node}/history", {
      items: [
        makeTransition("online", "offline", "3 checks in a row failed: no answer", 500),
        makeTransition("joining", "online", "its mesh agent is connected", 90_000),
      ],
      next: null,
    });
    renderAt("/nodes/worker-3", routes);
    expect(await screen.findByText("The control plane does not hear from this node")).toBeInTheDocument();
    expect(screen.getByText("4 in a row")).toBeInTheDocument();
    expect(screen.getByText("no answer from 10.50.0.13:8090 within 5 s")).toBeInTheDocument();
    expect(await screen.findByText("3 checks in a row failed: no answer")).toBeInTheDocument();
    expect(screen.getByText("Its mesh agent is connected")).toBeInTheDocument();
  });
});

describe("asking a node at once", () => {
  const ask = async () => {
    renderAt("/nodes/worker-3", routes);
    await userEvent.click(await screen.findByRole("button", { name: "Check now" }));
  };

  it("tells that it answers", async () => {
    answer("get", "/api/v1/nodes/{node}", gone);
    const asked = answer("post", "/api/v1/nodes/{node}/check", makeNode("worker-3"));
    await ask();
    expect(await screen.findByText("worker-3 answers")).toBeInTheDocument();
    expect(asked).toHaveLength(1);
  });

  it("tells why it does not, or why it was not asked", async () => {
    answer("get", "/api/v1/nodes/{node}", gone);
    answer("post", "/api/v1/nodes/{node}/check", gone);
    await ask();
    expect(await screen.findByText("worker-3 does not answer")).toBeInTheDocument();
    refuse("post", "/api/v1/nodes/{node}/check", 429, {
      code: "too_many",
      message: "too many checks of this node",
      hint: "Try again in 6 s",
    });
    await userEvent.click(screen.getByRole("button", { name: "Check now" }));
    expect(await screen.findByText("worker-3 was not asked")).toBeInTheDocument();
    expect(screen.getByText(/too many checks of this node.*Try again in 6 s/i)).toBeInTheDocument();
  });
});

describe("a clock", () => {
  it("is told with its direction, and is right within what the network takes", () => {
    expect([14, -99, 2_500, -370_000].map(clock)).toEqual([
      "in step",
      "in step",
      "2.5 s ahead",
      "6 min 10 s behind",
    ]);
  });

  it("that is off shows as what the control plane warns of", async () => {
    const warning = "its clock is 6 min 10 s behind. Its messages are refused: set it";
    answer("get", "/api/v1/nodes/{node}", makeNode("worker-1", { warnings: [warning] }));
    renderAt("/nodes/worker-1", routes);
    expect(await screen.findByText(/^Its clock is 6 min 10 s behind/)).toBeInTheDocument();
  });
});
