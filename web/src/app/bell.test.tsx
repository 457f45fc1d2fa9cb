import { screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { makeNotice } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer } from "@/testing/server";
import { Bell } from "./bell";

const critical = makeNotice({ severity: "critical" });

describe("notices", () => {
  it("are counted by the bell, which leads to them", async () => {
    answer("get", "/api/v1/notices", { items: [critical, makeNotice()], next: null });
    renderAt("/", [{ path: "/", Component: Bell }]);
    const bell = await screen.findByRole("link", { name: "2 notices" });
    expect(bell).toHaveAttribute("href", "/notices");
    expect(bell).toHaveTextContent("2");
  });
});
