import { screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { makeNode, session } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer } from "@/testing/server";
import { RouteTokens } from "./route-tokens";

const token = {
  id: "1",
  name: "edge-1",
  worker: null as string | null,
  created_by: "ann@example.com",
  created_at: "2026-01-01T00:00:00Z",
  last_used_at: null,
  expires_at: null,
};
const made = {
  id: "2",
  name: "edge-1",
  token: "whr_secret",
  endpoint: "http://10.50.0.1:8081/v1/traefik/proxy-config",
  expires_at: null,
};

function open(role: "admin" | "developer", items = [token]) {
  answer("get", "/api/v1/session", { ...session, organization: { ...session.organization, role } });
  answer("get", "/api/v1/nodes", { items: [makeNode("worker-1")], next: null });
  answer("get", "/api/v1/route-tokens", { items, next: null });
  return renderAt("/settings", [{ path: "/settings", Component: RouteTokens }]);
}

describe("route tokens", () => {
  it("are shown once, with the configuration that uses them", async () => {
    const { user } = open("admin", []);
    const sent = answer("post", "/api/v1/route-tokens", made);
    await user.click(await screen.findByRole("button", { name: "New route token" }));
    await user.type(screen.getByLabelText("Name"), "edge-1");
    await user.click(screen.getByRole("button", { name: "Create token" }));
    expect(await screen.findByText("whr_secret")).toBeInTheDocument();
    expect(screen.getByText(/endpoint: "http:\/\/10.50.0.1:8081/)).toBeInTheDocument();
    expect(sent).toEqual([{ name: "edge-1", worker: null, expires_in_days: 365 }]);
  });
  it("are replaced by an admin and looked at by others", async () => {
    const { user } = open("admin");
    answer("post", "/api/v1/route-tokens/{id}/rotate", made);
    await user.click(await screen.findByRole("button", { name: "Replace edge-1" }));
    await user.click(screen.getByRole("button", { name: "Make the new one" }));
    expect(await screen.findByText("whr_secret")).toBeInTheDocument();
  });
  it("cannot be changed by a developer", async () => {
    open("developer");
    expect(await screen.findByText("edge-1")).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: "Revoke edge-1" })).toBeNull();
  });
});
