import { screen, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { DoctorReport } from "@/api/types";
import { ago } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer } from "@/testing/server";
import { Component as Page } from "./page";

const broken: DoctorReport = {
  host: "www.example.com",
  level: "problem",
  checked_at: ago(1),
  findings: [
    { check: "domain", level: "ok", summary: "www.example.com is a verified domain of the app shop." },
    {
      check: "dns",
      level: "problem",
      summary: "Public DNS has no name www.example.com.",
      fix: "Create one of these records where the domain's DNS is kept.",
      records: [{ type: "CNAME", name: "www.example.com", value: "shop.apps.example.net." }],
    },
  ],
};

const open = (at: string) => renderAt(at, [{ path: "/doctor", Component: Page }]);

describe("the doctor", () => {
  it("examines the name in the address, and says what to create", async () => {
    const asked = answer("post", "/api/v1/doctor", broken);
    open("/doctor?host=www.example.com");
    expect(await screen.findByRole("alert")).toHaveTextContent("www.example.com does not work as it should");
    const dns = screen.getByRole("heading", { name: "DNS" }).closest("li") as HTMLElement;
    expect(within(dns).getByText("Public DNS has no name www.example.com.")).toBeInTheDocument();
    expect(within(dns).getByText("shop.apps.example.net.")).toBeInTheDocument();
    expect(within(dns).getByRole("button", { name: "Copy the name" })).toBeInTheDocument();
    expect(asked).toEqual([{ host: "www.example.com" }]);
  });
  it("asks for a name first, and looks again when told to", async () => {
    const asked = answer("post", "/api/v1/doctor", { ...broken, level: "ok", findings: [] });
    const { user } = open("/doctor");
    expect(screen.getByText("Name a host")).toBeInTheDocument();
    await user.type(screen.getByLabelText("Host name"), "www.example.com{Enter}");
    expect(await screen.findByText("www.example.com is in order")).toBeInTheDocument();
    await user.click(screen.getByRole("button", { name: "Examine" }));
    await screen.findByText("www.example.com is in order");
    expect(asked).toHaveLength(2);
  });
});
