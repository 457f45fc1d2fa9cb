import { screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { matchesOf } from "@/lib/match";
import { makeApp, makeNode } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer } from "@/testing/server";
import { Palette } from "./palette";

describe("matches", () => {
  it("have all words, and begin with the first one if they can", () => {
    const names = ["logs of shop", "web-shop", "shop", "blog"];
    expect(matchesOf(names, "shop", (name) => name)).toEqual(["shop", "logs of shop", "web-shop"]);
    expect(matchesOf(names, "shop lo", (name) => name)).toEqual(["logs of shop"]);
    expect(matchesOf(names, " ", (name) => name)).toEqual(names);
  });
});

describe("the palette", () => {
  async function open() {
    answer("get", "/api/v1/apps", { items: [makeApp("shop"), makeApp("blog")], next: null });
    answer("get", "/api/v1/nodes", { items: [makeNode("worker-1")], next: null });
    const view = renderAt("/", [
      { path: "/", Component: Palette },
      { path: "*", element: <p>elsewhere</p> },
    ]);
    await view.user.keyboard("{Control>}k{/Control}");
    await screen.findByRole("option", { name: /worker-1/ });
    return view;
  }

  it("goes to what is named, by keyboard alone", async () => {
    const { user, router } = await open();
    await user.type(screen.getByRole("combobox"), "shop{ArrowDown}{Enter}");
    await screen.findByText("elsewhere");
    expect(router.state.location.pathname).toBe("/apps/shop/logs");
  });
  it("says so when nothing has the name", async () => {
    const { user } = await open();
    await user.type(screen.getByRole("combobox"), "nowhere");
    expect(screen.getByText("Nothing has this name.")).toBeInTheDocument();
  });
});
