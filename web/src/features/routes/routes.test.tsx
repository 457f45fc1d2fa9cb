import { screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { makeNode } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer } from "@/testing/server";
import { Component as Routes } from "./page";

const proxy = { kind: "proxy", connected: true, applied_at: "2026-01-01T00:00:00Z" } as const;

const table = {
  generation: 42,
  changed_at: "2026-01-01T00:00:00Z",
  consumers: [
    { ...proxy, node: "p1", applied_generation: 42 },
    { ...proxy, node: "p2", applied_generation: 41 },
  ],
  total: 2,
  routes: [
    {
      id: "1",
      app: "hello",
      hosts: ["hello.route.example.com"],
      path: "/",
      upstreams: ["10.50.0.2:20000"],
      https_only: true,
      unavailable: null,
      options: ["compress"],
    },
    {
      id: "2",
      app: "idle",
      hosts: ["idle.example.com"],
      path: "/api",
      upstreams: [],
      https_only: false,
      unavailable: "stopped",
      options: [],
    },
  ],
};

describe("the route table", () => {
  it("says where hosts lead and which proxy lacks the newest one", async () => {
    answer("get", "/api/v1/nodes", { items: [makeNode("worker-1")], next: null });
    answer("get", "/api/v1/routes", table);
    renderAt("/routes", [{ path: "/routes", Component: Routes }]);
    expect(await screen.findByText("hello.route.example.com")).toBeInTheDocument();
    expect(screen.getByText("idle.example.com/api")).toBeInTheDocument();
    expect(screen.getByText("stopped")).toBeInTheDocument();
    expect(screen.getByText("https, compress")).toBeInTheDocument();
    expect(screen.getByText("In force")).toBeInTheDocument();
    expect(screen.getByText("Not acknowledged yet")).toBeInTheDocument();
    expect(screen.getByText("Generation 42: 2 of 2.")).toBeInTheDocument();
  });
});
