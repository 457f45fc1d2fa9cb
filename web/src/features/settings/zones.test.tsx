import { screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { makeNode, session } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { Zones } from "./zones";

const first = {
  id: "1",
  suffix: "route.example.com",
  mode: "proxy" as const,
  worker: null,
  port: null,
  is_default: true,
  is_configured: true,
  apps: 2,
  resolver: null,
  warning: null,
  records: [],
};
const direct = {
  id: "2",
  suffix: "de.example.com",
  mode: "direct" as const,
  worker: "worker-1",
  port: 8080,
  is_default: false,
  is_configured: false,
  apps: 0,
  resolver: null,
  warning: "worker-1 does not listen for it: set `ingress` in its worker.toml",
  records: [{ name: "*.de.example.com", kind: "A", value: "203.0.113.7", node: "worker-1" }],
};

function open(role: "admin" | "developer" = "admin") {
  answer("get", "/api/v1/session", { ...session, organization: { ...session.organization, role } });
  answer("get", "/api/v1/nodes", { items: [makeNode("worker-1")], next: null });
  answer("get", "/api/v1/zones", { items: [first, direct], next: null });
  return renderAt("/settings", [{ path: "/settings", Component: Zones }]);
}

describe("zones", () => {
  it("say who answers for them, and show the record of a direct one", async () => {
    open("developer");
    const row = (await screen.findByText("de.example.com")).closest("tr") as HTMLElement;
    expect(within(row).getByText("worker-1, port 8080")).toBeInTheDocument();
    expect(within(row).getByText("*.de.example.com A 203.0.113.7")).toBeInTheDocument();
    expect(within(row).getByRole("button", { name: "Copy the record of worker-1" })).toBeInTheDocument();
    expect(within(row).getByText(/worker-1 does not listen for it/)).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: "Add a zone" })).toBeNull();
  });
  it("are added by an admin, who is told what cannot be", async () => {
    const { user } = open();
    await user.click(await screen.findByRole("button", { name: "Add a zone" }));
    await user.type(screen.getByLabelText("Suffix"), "co.uk");
    await user.selectOptions(screen.getByLabelText("Answered by"), "worker-1");
    refuse("post", "/api/v1/zones", 422, {
      code: "invalid",
      message: "under co.uk everybody may register names",
      field: "suffix",
    });
    await user.click(screen.getByRole("button", { name: "Add zone" }));
    expect(await screen.findByText(/everybody may register names/)).toBeInTheDocument();
    const sent = answer("post", "/api/v1/zones", direct, 201);
    await user.click(screen.getByRole("button", { name: "Add zone" }));
    expect(await screen.findByText(/is added/)).toBeInTheDocument();
    expect(sent).toEqual([{ suffix: "co.uk", mode: "direct", worker: "worker-1", port: 8080 }]);
  });
  it("leave their certificates to a resolver of Traefik's, and take them back", async () => {
    const { user } = open();
    const sent = answer("patch", "/api/v1/zones/{zone}", { ...first, resolver: "le" });
    await user.click(await screen.findByRole("button", { name: "Change route.example.com" }));
    await user.type(screen.getByLabelText("Traefik's certificate resolver"), "le");
    answer("get", "/api/v1/zones", { items: [{ ...first, resolver: "le" }], next: null });
    await user.click(screen.getByRole("button", { name: "Save" }));
    expect(await screen.findByText(/certificates by Traefik's/)).toBeInTheDocument();
    await user.click(screen.getByRole("button", { name: "Change route.example.com" }));
    await user.clear(screen.getByLabelText("Traefik's certificate resolver"));
    answer("get", "/api/v1/zones", { items: [first], next: null });
    await user.click(screen.getByRole("button", { name: "Save" }));
    await waitFor(() => expect(screen.queryByText(/certificates by Traefik's/)).toBeNull());
    expect(sent).toEqual([
      { mode: "proxy", resolver: "le" },
      { mode: "proxy", resolver: "" },
    ]);
  });
  it("cannot be removed while they are needed, and are removed after a question", async () => {
    const { user } = open();
    const removed = answer("delete", "/api/v1/zones/{zone}", undefined as never, 200);
    await user.click(await screen.findByRole("button", { name: "Remove de.example.com" }));
    expect(screen.queryByRole("button", { name: "Remove route.example.com" })).toBeNull();
    await user.click(screen.getByRole("button", { name: "Remove zone" }));
    expect(await screen.findByText(/is removed/)).toBeInTheDocument();
    expect(removed).toHaveLength(1);
  });
});
