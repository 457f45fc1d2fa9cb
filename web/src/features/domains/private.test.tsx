import { screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { PrivateNetwork } from "@/api/private-network";
import { makeApp } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer } from "@/testing/server";
import { PrivateCard } from "./private-card";

const app = makeApp("api");
const place = "/api/v1/projects/{project}/network";
const named = (name: string, ports: number[], instances = 1) => ({
  app: name,
  project: "shop",
  name: `${name}.shop.internal`,
  address: "100.96.0.1",
  ports,
  instances,
});
const grant = {
  id: "0190a000-0000-7000-8000-000000000001",
  from: "office",
  to_project: "shop",
  to_app: "api",
  created_by: "ann@example.com",
  created_at: "2026-11-22T08:00:00Z",
};

function open(network: Partial<PrivateNetwork>, mayChange = true) {
  const apps = [named("api", [8080]), named("db", [5432])];
  answer("get", place, { project: "shop", apps, grants: [], egress: null, ...network });
  return renderAt("/", [{ path: "/", element: <PrivateCard app={app} mayChange={mayChange} /> }]);
}

describe("the private network", () => {
  it("tells the app's name, its ports and who else is reached", async () => {
    open({});
    expect(await screen.findByText("api.shop.internal")).toBeInTheDocument();
    expect(screen.getByText("port 80 or 8080")).toBeInTheDocument();
    expect(screen.getByText("The app also reaches db.shop.internal.")).toBeInTheDocument();
    expect(screen.getByText("Outside of it: anywhere public.")).toBeInTheDocument();
  });
  it("says when no instance serves, and where alone connections may go", async () => {
    const egress = [{ to: "203.0.113.0/24", ports: [443] }, { to: "2001:db8::/32" }];
    open({ apps: [named("api", [], 0)], egress });
    expect(await screen.findByText("no instance serves")).toBeInTheDocument();
    expect(screen.getByText("Outside of it: 203.0.113.0/24 port 443; 2001:db8::/32.")).toBeInTheDocument();
  });
  it("takes a grant back", async () => {
    const { user } = open({ grants: [grant] });
    const revoke = await screen.findByRole("button", { name: "Revoke the grant from office to shop/api" });
    answer("delete", "/api/v1/projects/{project}/network/grants", undefined as never, 200);
    answer("get", place, { project: "shop", apps: [], grants: [], egress: null });
    await user.click(revoke);
    await expect.poll(() => screen.queryByRole("button", { name: /Revoke/ })).toBeNull();
  });
  it("shows grants to those who may not change them", async () => {
    open({ grants: [grant] }, false);
    expect(await screen.findByText(/Apps of office may reach shop\/api/)).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: /Revoke/ })).toBeNull();
  });
});
