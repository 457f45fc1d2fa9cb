import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it } from "vitest";
import type { Mesh, MeshLink } from "@/api/mesh";
import { renderAt } from "@/testing/render";
import { answer } from "@/testing/server";
import { told } from "./links";
import { Component as Page } from "./page";

const routes = [{ path: "/network", Component: Page }];

function link(from: string, to: string, more: Partial<MeshLink> = {}): MeshLink {
  return {
    from,
    to,
    state: "direct",
    via: null,
    endpoint: "203.0.113.9:51821",
    handshake_age_s: 65,
    received_bytes: 2048,
    sent_bytes: 10,
    rtt_ms: 1.5,
    loss: 0,
    mtu: 1420,
    ...more,
  };
}

/** So many nodes; all reach each other. */
function mesh(size: number, more: Partial<Mesh> = {}): Mesh {
  const names = Array.from({ length: size }, (_, index) => `n${index + 1}`);
  return {
    cidr: "10.50.0.0/24",
    nodes: names.map((name) => ({
      id: `00000000-0000-7000-8000-${name.slice(1).padStart(12, "0")}`,
      name,
      mesh_address: "10.50.0.2",
      public_key: "k",
      key_since: null,
      rotation: null,
      endpoint: null,
      status: "online",
      wireguard: "kernel",
      mtu: 1420,
      reported_at: null,
      reaches: size - 1,
    })),
    links: names.flatMap((from) => names.filter((to) => to !== from).map((to) => link(from, to))),
    links_left_out: 0,
    findings: [],
    ...more,
  };
}

describe("the matrix", () => {
  it("says times and losses where there is room, and what does not answer", async () => {
    const links = [
      link("n1", "n2"),
      link("n2", "n1", { loss: 25 }),
      link("n1", "n3", { state: "silent", rtt_ms: null, handshake_age_s: null, loss: 100 }),
      link("n3", "n1", { state: "unknown", rtt_ms: null, loss: null }),
      link("n2", "n3", { state: "relayed", via: "n1", rtt_ms: 7 }),
    ];
    answer("get", "/api/v1/mesh", mesh(3, { links }));
    renderAt("/network", routes);
    const matrix = await screen.findByRole("table", { name: /How each node/ });
    expect(within(matrix).getAllByText("1.5 ms")).toHaveLength(2);
    expect(within(matrix).getByText("25 % lost")).toBeInTheDocument();
    expect(
      within(matrix).getByText("n1 to n3: no answer, there and back –, loss 100 %, handshake never"),
    ).toBeInTheDocument();
    expect(within(matrix).getByText("n3 to n1: unknown")).toBeInTheDocument();
    expect(within(matrix).getByText(/^n2 to n3: relayed via n1, there and back 7\.0 ms/)).toBeInTheDocument();
  });
  it("has a mark per link and numbered columns for thirty nodes", async () => {
    answer("get", "/api/v1/mesh", mesh(30));
    renderAt("/network", routes);
    const matrix = await screen.findByRole("table", { name: /How each node/ });
    expect(within(matrix).getByRole("columnheader", { name: "n30" })).toHaveTextContent("30");
    expect(within(matrix).getAllByRole("cell")).toHaveLength(900);
    expect(within(matrix).queryByText("1.5 ms")).not.toBeInTheDocument();
    expect(within(matrix).getByText(told(link("n30", "n29")))).toBeInTheDocument();
  });
});

describe("the keys", () => {
  it("are asked for node by node or all at once, and tell who they wait for", async () => {
    const told = mesh(3);
    const [first] = told.nodes;
    if (first)
      first.rotation = { asked_at: "2026-11-22T10:00:00Z", stage: "announced", waits_for: ["n2", "n3"] };
    answer("get", "/api/v1/mesh", told);
    const asked = answer("post", "/api/v1/mesh/rotations", { nodes: ["n2"] }, 202);
    renderAt("/network", routes);
    expect(await screen.findByText("waits for n2, n3")).toBeInTheDocument();
    expect(screen.getByRole("button", { name: "Rotate the key of n1" })).toBeDisabled();
    await userEvent.click(screen.getByRole("button", { name: "Rotate the key of n2" }));
    await waitFor(() => expect(asked.at(-1)).toEqual({ nodes: ["n2"], all: false }));
  });
  it("may all be rotated", async () => {
    answer("get", "/api/v1/mesh", mesh(2));
    const asked = answer("post", "/api/v1/mesh/rotations", { nodes: ["n1", "n2"] }, 202);
    renderAt("/network", routes);
    await userEvent.click(await screen.findByRole("button", { name: "Rotate all" }));
    await waitFor(() => expect(asked.at(-1)).toEqual({ nodes: [], all: true }));
  });
});

describe("one node", () => {
  it("is chosen by its row or by name, and its peers are told in full", async () => {
    const links = [link("n1", "n2"), link("n2", "n1", { mtu: 1312, rtt_ms: 40 })];
    answer("get", "/api/v1/mesh", mesh(2, { links }));
    renderAt("/network", routes);
    const user = userEvent.setup();
    await user.click(await screen.findByRole("button", { name: "n2" }));
    expect(screen.getByRole("combobox", { name: "Peers of the node" })).toHaveValue("n2");
    expect(screen.getByText("1312")).toBeInTheDocument();
    expect(screen.getByText("1 min ago")).toBeInTheDocument();
    await user.selectOptions(screen.getByRole("combobox"), "n1");
    expect(screen.getByText("1420")).toBeInTheDocument();
  });
  it("is asked for when the mesh is too large for a matrix", async () => {
    answer("get", "/api/v1/mesh", mesh(65, { links: [link("n1", "n2")], links_left_out: 4159 }));
    renderAt("/network", routes);
    expect(await screen.findByRole("link", { name: "n2" })).toBeInTheDocument();
    expect(screen.queryByRole("table", { name: /How each node/ })).not.toBeInTheDocument();
  });
});

describe("findings", () => {
  it("say what is wrong and what to do", async () => {
    const findings: Mesh["findings"] = [
      {
        level: "problem",
        problem: "port-closed",
        nodes: ["n1", "n2"],
        summary: "n1 and n2 do not reach each other",
        fix: "Let UDP in",
      },
    ];
    answer("get", "/api/v1/mesh", mesh(2, { findings }));
    renderAt("/network", routes);
    expect(await screen.findByText("n1 and n2 do not reach each other")).toBeInTheDocument();
    expect(screen.getByText("Let UDP in")).toBeInTheDocument();
  });
  it("are not there when all is well or there is one node", async () => {
    answer("get", "/api/v1/mesh", mesh(1));
    renderAt("/network", routes);
    expect(await screen.findByText("There is nobody to talk to yet")).toBeInTheDocument();
  });
});
