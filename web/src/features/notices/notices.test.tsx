import { screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { makeNotice } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer } from "@/testing/server";
import { Component as Page, placeOf } from "./page";

const critical = makeNotice({ severity: "critical", text: "Orders have been failing." });

describe("notices", () => {
  it("say what is off and how bad, and lead to it", async () => {
    answer("get", "/api/v1/notices", { items: [critical, makeNotice()], next: null });
    renderAt("/notices", [{ path: "/notices", Component: Page }]);
    const link = await screen.findByRole("link", { name: "Orders have been failing." });
    expect(link).toHaveAttribute("href", "/certificates/shop.fernhill.example");
    expect(screen.getByText("Critical")).toBeInTheDocument();
    expect(screen.getByText("Warning")).toBeInTheDocument();
    expect(screen.getAllByText("wh cert import")[0]).toHaveProperty("tagName", "CODE");
    expect(placeOf("quota:disk")).toBeUndefined();
  });
  it("are shown with those that are over on demand", async () => {
    answer("get", "/api/v1/notices", { items: [], next: null });
    const { user } = renderAt("/notices", [{ path: "/notices", Component: Page }]);
    expect(await screen.findByText("Nothing to look at")).toBeInTheDocument();
    answer("get", "/api/v1/notices", { items: [makeNotice({ resolved_at: critical.told_at })], next: null });
    await user.click(screen.getByRole("button", { name: "Show resolved" }));
    expect(await screen.findByText("Resolved")).toBeInTheDocument();
  });
});
