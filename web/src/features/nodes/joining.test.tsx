import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it } from "vitest";
import type { NodeToken } from "@/api/types";
import { makeNode } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { Component as List } from "./list";
import { Component as Page } from "./page";
import { readLabels, steps } from "./progress";

const routes = [
  { path: "/nodes", Component: List },
  { path: "/nodes/:node", Component: Page },
];

function makeToken(over: Partial<NodeToken> = {}): NodeToken {
  return {
    id: "0197aaaa-0000-7000-8000-00000000beef",
    roles: ["worker"],
    name: null,
    labels: {},
    zone: null,
    created_at: "2026-01-01T10:00:00Z",
    expires_at: "2999-01-01T10:00:00Z",
    used_at: null,
    used_by: null,
    refusal: null,
    refused_at: null,
    ...over,
  };
}

const line = "printf '%s\\n' 'whj_0a1b' | sudo wisehosting-mesh join";

async function openDialog() {
  answer("get", "/api/v1/node-tokens", { items: [], next: null });
  renderAt("/nodes", routes);
  await userEvent.click((await screen.findAllByRole("button", { name: "Add node" }))[0] as HTMLElement);
  return within(screen.getByRole("dialog"));
}

describe("the way of a host", () => {
  it("is told in its order, each step when it was seen", () => {
    const node = makeNode("w2", { status: "joining" });
    const at = (connected: string[], status: "joining" | "online") => ({
      ...node,
      status,
      agents: node.agents.map((agent) => ({ ...agent, connected: connected.includes(agent.kind) })),
    });
    const done = (...given: Parameters<typeof steps>) =>
      steps(...given)
        .filter((step) => step.done)
        .map((step) => step.key);
    expect(done(makeToken(), undefined)).toEqual([]);
    const used = makeToken({ used_by: "w2" });
    expect(done(used, undefined)).toEqual(["token"]);
    expect(done(used, at(["mesh"], "online"))).toEqual(["token", "mesh"]);
    expect(done(used, at(["mesh", "worker"], "joining"))).toEqual(["token", "mesh", "worker"]);
    expect(done(used, at(["mesh", "worker"], "online"))).toEqual(["token", "mesh", "worker", "online"]);
  });
  it("takes labels only as they are written", () => {
    expect(readLabels(" disk=nvme, rack=3 note=a=b ")).toEqual({ disk: "nvme", rack: "3", note: "a=b" });
    expect(readLabels("spare=")).toEqual({ spare: "" });
    expect(readLabels("disk")).toBeUndefined();
    expect(readLabels("=x")).toBeUndefined();
  });
});

describe("adding a node", () => {
  it("shows the line and the module, and waits until the host is online with what it lacks", async () => {
    const token = makeToken();
    const asked = answer(
      "post",
      "/api/v1/node-tokens",
      {
        id: token.id,
        token: "whj_0a1b",
        roles: ["worker"],
        name: null,
        expires_at: token.expires_at,
        command: line,
        nixos: "{ wisehosting, ... }: { }",
      },
      201,
    );
    answer("get", "/api/v1/node-tokens/{id}", makeToken({ used_by: "w2" }));
    answer("get", "/api/v1/nodes", { items: [makeNode("w2")], next: null });
    const dialog = await openDialog();
    await userEvent.type(dialog.getByLabelText(/Labels/), "disk=nvme");
    await userEvent.click(dialog.getByRole("button", { name: "Create token" }));
    expect(asked).toEqual([{ roles: ["worker"], labels: { disk: "nvme" }, zone: null, name: null }]);
    expect(await dialog.findByText(line)).toBeInTheDocument();
    expect(dialog.getByText("{ wisehosting, ... }: { }")).toBeInTheDocument();
    expect(await dialog.findByText("w2 is online")).toBeInTheDocument();
    expect(dialog.getByText("Podman 5.2.1")).toBeInTheDocument();
    expect(dialog.getByText(/put Podman's storage on XFS/)).toBeInTheDocument();
    expect(dialog.getByText("Disk not limited")).toBeInTheDocument();
    expect(dialog.getByText("User namespaces"), "told once").toBeInTheDocument();
  });
  it("tells why a host was refused while nobody has joined", async () => {
    const token = makeToken({ refusal: "this join token is for a host named w9" });
    const created = { ...token, token: "whj_0a1b", command: line, nixos: "" };
    answer("post", "/api/v1/node-tokens", created, 201);
    answer("get", "/api/v1/node-tokens/{id}", token);
    answer("get", "/api/v1/nodes", { items: [], next: null });
    const dialog = await openDialog();
    await userEvent.click(dialog.getByRole("button", { name: "Create token" }));
    expect(await dialog.findByText("This join token is for a host named w9.")).toBeInTheDocument();
    expect(dialog.getByText("Waiting for the node…")).toBeInTheDocument();
  });
  it("is possible by hand, and a duplicate is named at its field", async () => {
    answer("get", "/api/v1/nodes", { items: [], next: null });
    const dialog = await openDialog();
    await userEvent.click(dialog.getByRole("button", { name: "Enter by hand" }));
    refuse("post", "/api/v1/nodes", 409, {
      code: "name_taken",
      message: "the node w1 has this public key",
      field: "public_key",
    });
    await userEvent.type(dialog.getByLabelText("Name"), "w2");
    await userEvent.type(dialog.getByLabelText("Public key"), "KEY=");
    await userEvent.click(dialog.getByRole("button", { name: "Enter node" }));
    expect(await dialog.findByText("The node w1 has this public key")).toBeInTheDocument();
    expect(dialog.getByLabelText("Public key")).toHaveAttribute("aria-invalid", "true");
    const joined = "printf '%s\\n' '{}' | sudo wisehosting-mesh join --joined";
    answer("post", "/api/v1/nodes", { node: makeNode("w2"), joined: "{}", command: joined }, 201);
    await userEvent.click(dialog.getByRole("button", { name: "Enter node" }));
    expect(await dialog.findByText(joined)).toBeInTheDocument();
  });
});

describe("a node's key", () => {
  it("is changed by a button that says how far it is", async () => {
    const asked = { changed_at: null, rotation_asked_at: "2026-01-01T10:00:00Z", revoked_at: null };
    answer("get", "/api/v1/nodes/{node}", makeNode("w1"));
    const sent = answer("post", "/api/v1/nodes/{node}/rotate-key", makeNode("w1", { key: asked }), 202);
    renderAt("/nodes/w1", routes);
    const button = await screen.findByRole("button", { name: "Rotate key" });
    answer("get", "/api/v1/nodes/{node}", makeNode("w1", { key: asked }));
    await userEvent.click(button);
    expect(sent).toHaveLength(1);
    expect(await screen.findByText(/was asked for another key/)).toBeInTheDocument();
  });
  it("is revoked only by who types the node's name, and the way back is told", async () => {
    answer("get", "/api/v1/nodes/{node}", makeNode("w1", { instances: 2 }));
    const revoked = makeNode("w1", {
      key: { changed_at: null, rotation_asked_at: null, revoked_at: "2026-01-01T10:00:00Z" },
    });
    const sent = answer("post", "/api/v1/nodes/{node}/revoke", revoked);
    renderAt("/nodes/w1", routes);
    await userEvent.click(await screen.findByRole("button", { name: "Revoke" }));
    const dialog = within(screen.getByRole("dialog"));
    expect(dialog.getByText("2 instances should run there")).toBeInTheDocument();
    expect(dialog.getByRole("button", { name: "Revoke" })).toBeDisabled();
    await userEvent.type(dialog.getByLabelText("Type w1 to confirm"), "w1");
    answer("get", "/api/v1/nodes/{node}", revoked);
    await userEvent.click(dialog.getByRole("button", { name: "Revoke" }));
    expect(sent).toEqual([{ confirm: "w1" }]);
    expect(await screen.findByText("wh node add w1")).toBeInTheDocument();
  });
});

describe("removing a node", () => {
  it("is not offered while instances should run on it", async () => {
    answer("get", "/api/v1/nodes/{node}", makeNode("w1", { instances: 2 }));
    renderAt("/nodes/w1", routes);
    expect(await screen.findByRole("button", { name: "Remove w1" })).toBeDisabled();
    expect(screen.getByText("wh node drain w1")).toBeInTheDocument();
  });
});
