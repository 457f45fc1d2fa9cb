import { screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { makeNode, nixos } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer } from "@/testing/server";
import { Component as List } from "./list";
import { Component as Page } from "./page";

const routes = [
  { path: "/nodes", Component: List },
  { path: "/nodes/:node", Component: Page },
];

/** A node that runs this. */
function running(os: ReturnType<typeof nixos> | null) {
  const node = makeNode("worker-1");
  return { ...node, host: { ...node.host, os } };
}

describe("labels and zone", () => {
  it("are shown, and which of them the configuration sets", async () => {
    const node = makeNode("worker-1", {
      labels: { disk: "nvme", spare: "" },
      declared_labels: ["disk"],
      zone: "de.example.com",
    });
    answer("get", "/api/v1/nodes/{node}", node);
    renderAt("/nodes/worker-1", routes);
    expect(await screen.findByText("disk=nvme")).toHaveAttribute("title", "From the configuration");
    expect(screen.getByText("spare")).not.toHaveAttribute("title");
    expect(screen.getByText("The configuration sets disk.")).toBeInTheDocument();
    expect(screen.getByText("de.example.com")).toBeInTheDocument();
  });
});

describe("what a host runs", () => {
  it("is one line per node in the list, and says when a reboot waits", async () => {
    const debian = nixos({ name: "Debian GNU/Linux 13 (trixie)", generation: null, boot_generation: null });
    answer("get", "/api/v1/node-tokens", { items: [], next: null });
    answer("get", "/api/v1/nodes", {
      items: [running(nixos({ reboot_needed: true })), running(debian), running(null)],
      next: null,
    });
    renderAt("/nodes", routes);
    expect(await screen.findByText("NixOS 26.05 · generation 42 · 6 days old")).toBeInTheDocument();
    expect(screen.getByText("Debian GNU/Linux 13 · 6 days old")).toBeInTheDocument();
    expect(screen.getAllByText("Reboot needed")).toHaveLength(1);
  });
  it("is told in full on the node's page", async () => {
    answer("get", "/api/v1/nodes/{node}", running(nixos({ generation: 41, reboot_needed: true })));
    renderAt("/nodes/worker-1", routes);
    expect(await screen.findByText("26.05.20261115.0a1b2c3")).toBeInTheDocument();
    expect(screen.getByText(/generation 41, 42 at the next boot/)).toBeInTheDocument();
    expect(screen.getByText("Reboot needed")).toBeInTheDocument();
  });
});
