import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it } from "vitest";
import {
  makeAgentLog,
  makeCleanup,
  makeCleanupPreview,
  makeCorrection,
  makeNode,
  makeNodeInstance,
  makeNow,
  makeSeries,
  makeSpace,
  makeStorage,
  makeStray,
} from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { Component as List } from "./list";
import { Component as Page } from "./page";

const routes = [
  { path: "/nodes", Component: List },
  { path: "/nodes/:node", Component: Page },
];

function show() {
  answer("get", "/api/v1/nodes/{node}", makeNode("worker-1", { instances: 3 }));
  renderAt("/nodes/worker-1", routes);
}

describe("how hosts are doing", () => {
  it("is three bars per node in the list, and the fuller disk counts", async () => {
    answer("get", "/api/v1/node-tokens", { items: [], next: null });
    const numbers = makeNow({ cpu_percent: 38.4, root: makeSpace(10, 100), containers: makeSpace(93, 100) });
    answer("get", "/api/v1/nodes", {
      items: [makeNode("worker-1", { numbers, instances: 4, apps: 1 }), makeNode("silent", { rtt_ms: null })],
      next: null,
    });
    renderAt("/nodes", routes);
    // In a column of its own, and below the status on a phone.
    expect(await screen.findAllByRole("img", { name: "CPU 38 %" })).toHaveLength(2);
    expect(screen.getAllByRole("img", { name: "Disk 93 %" })[0]).toHaveClass("full");
    expect(screen.getAllByRole("img", { name: "Memory 39 %" })[0]).not.toHaveClass("full");
    expect(screen.getByText("1 app")).toBeInTheDocument();
    expect(screen.getByText("1.4 ms")).toBeInTheDocument();
  });
  it("is charts on the node's page, of which swap is left out where there is none", async () => {
    const bare = makeSeries("1h");
    const points = bare.points.map((point) => ({ ...point, swap: makeSpace(0, 0), containers: null }));
    answer("get", "/api/v1/nodes/{node}/numbers", {
      ...bare,
      points,
      now: makeNow({ swap: makeSpace(0, 0) }),
    });
    show();
    expect(await screen.findByRole("figure", { name: "Processors" })).toBeInTheDocument();
    const memory = screen.getByRole("figure", { name: "Memory" });
    expect(within(memory).getAllByRole("listitem")).toHaveLength(1);
    expect(screen.getByText("load 1.72")).toBeInTheDocument();
  });
  it("says so when the host has told nothing", async () => {
    show();
    expect(await screen.findByText(/It has told nothing in this time/)).toBeInTheDocument();
  });
});

describe("what is on a node", () => {
  it("are instances with their state and use, and a count of those of others", async () => {
    const lost = makeNodeInstance("blog", { unknown_since: "2026-01-01T00:00:00Z", stats: null });
    answer("get", "/api/v1/nodes/{node}/instances", { items: [makeNodeInstance("shop"), lost], others: 2 });
    show();
    expect(await screen.findByRole("link", { name: "shop" })).toHaveAttribute("href", "/apps/shop");
    expect(screen.getByText("187 MiB")).toBeInTheDocument();
    expect(screen.getByText("Unknown")).toBeInTheDocument();
    expect(screen.getByText("And 2 of other organizations.")).toBeInTheDocument();
  });
  it("are containers that nobody knows, with the time they have left", async () => {
    const runs = makeStray({ container: "bad0bad0bad0ffff", name: "", app: null, state: "running" });
    answer("get", "/api/v1/nodes/{node}/strays", { items: [makeStray(), runs], next: null });
    show();
    expect(await screen.findByRole("heading", { name: "Strays" })).toBeInTheDocument();
    const row = screen.getByText("wh-shop-3-91c0aa").closest("tr") as HTMLElement;
    expect(row).toHaveTextContent(
      "said to be of shop, no desired state of this worker ever had its instance",
    );
    expect(row).toHaveTextContent(/removed in 6 d/);
    expect(within(row).getByRole("button", { name: "podman rm" })).toHaveAttribute(
      "title",
      "podman rm --force c0ffee00c0ff",
    );
    expect(screen.getByText("bad0bad0bad0").closest("tr")).toHaveTextContent("Running");
  });
  it("and what its worker put right, also while it was cut off", async () => {
    const unsure = makeCorrection({ app: null, done: "stopped a container that nobody knows" });
    answer("get", "/api/v1/nodes/{node}/corrections", { items: [makeCorrection(), unsure], next: null });
    show();
    expect(
      await screen.findByText("Stopped an exclusive instance, because its lease was over"),
    ).toBeInTheDocument();
    expect(screen.getAllByText("The control plane had not renewed it in time")).toHaveLength(2);
    expect(screen.getByRole("link", { name: "ledger" })).toHaveAttribute("href", "/apps/ledger");
  });
  it("are containers of others and volumes, the unused marked", async () => {
    answer("get", "/api/v1/nodes/{node}/storage", makeStorage());
    show();
    expect(await screen.findByText("old-postgres")).toBeInTheDocument();
    expect(screen.getByText("Exited")).toBeInTheDocument();
    expect(screen.getAllByText("unused", { exact: false })).toHaveLength(1);
  });
});

describe("a clean-up", () => {
  it("removes exactly what was shown, and is told of afterwards", async () => {
    answer("get", "/api/v1/nodes/{node}/storage", makeStorage());
    answer("get", "/api/v1/nodes/{node}/gc", {
      items: [makeCleanup(), makeCleanup({ state: "unanswered", removed: [] })],
      next: null,
    });
    const preview = makeCleanupPreview();
    answer("get", "/api/v1/nodes/{node}/gc/preview", preview);
    const asked = answer("post", "/api/v1/nodes/{node}/gc", makeCleanup({ state: "running" }), 202);
    show();
    expect(await screen.findByText("Cleaned up")).toBeInTheDocument();
    expect(screen.getByText("No answer")).toBeInTheDocument();
    await userEvent.click(screen.getByRole("button", { name: "Clean up…" }));
    expect(await screen.findByText("docker.io/library/node:18-bookworm")).toBeInTheDocument();
    expect(asked).toEqual([]);
    await userEvent.click(screen.getByRole("button", { name: "Remove 2" }));
    await screen.findByText("worker-1 is cleaned up");
    expect(asked).toEqual([{ images: preview.images.map((image) => image.id) }]);
  });
  it("cannot be asked for while the worker does not answer", async () => {
    answer("get", "/api/v1/nodes/{node}/storage", makeStorage());
    refuse("get", "/api/v1/nodes/{node}/gc/preview", 503, {
      code: "unavailable",
      message: "the worker agent of worker-1 is not connected",
    });
    show();
    await userEvent.click(await screen.findByRole("button", { name: "Clean up…" }));
    expect(await screen.findByText(/is not connected/)).toBeInTheDocument();
    expect(screen.getByRole("button", { name: "Remove" })).toBeDisabled();
  });
});

describe("an agent's log", () => {
  it("is asked for only when somebody looks", async () => {
    const asked = answer("get", "/api/v1/nodes/{node}/agent-log", makeAgentLog());
    show();
    const button = await screen.findByRole("button", { name: "Show" });
    expect(asked).toHaveLength(0);
    await userEvent.click(button);
    expect(await screen.findByText("3 lines")).toBeInTheDocument();
    expect(screen.getByRole("combobox", { name: "Agent" })).toHaveValue("worker");
  });
});
