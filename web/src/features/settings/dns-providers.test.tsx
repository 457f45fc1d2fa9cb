import { screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { session } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { DnsProviders } from "./dns-providers";

const stored = {
  id: "018f0000-0000-7000-8000-000000000001",
  zone: "example.com",
  kind: "rfc2136" as const,
  platform: true,
  summary: "ns1.example.com, key wisehosting",
  updated_by: "ann@example.com",
  updated_at: "2026-01-01T00:00:00Z",
  records: 0,
  problem: null as string | null,
};

function open(role: "owner" | "admin" | "developer", items = [stored]) {
  answer("get", "/api/v1/session", { ...session, organization: { ...session.organization, role } });
  answer("get", "/api/v1/dns-providers", { items, next: null });
  return renderAt("/settings", [{ path: "/settings", Component: DnsProviders }]);
}

describe("DNS providers", () => {
  it("are added by an owner for all apps, and the key is sent once", async () => {
    const { user } = open("owner", []);
    const sent = answer("post", "/api/v1/dns-providers", stored);
    await user.click(await screen.findByRole("button", { name: "Add a provider" }));
    await user.click(screen.getByRole("radio", { name: /Name server/ }));
    await user.type(screen.getByLabelText("Zone"), "example.com");
    await user.type(screen.getByLabelText("Primary name server"), "ns1.example.com");
    await user.type(screen.getByLabelText("Name of the key"), "wisehosting");
    await user.type(screen.getByLabelText("Key"), "aHVudGVyMg==");
    await user.click(screen.getByRole("button", { name: "Store provider" }));
    expect(await screen.findByText(/below example.com can be set/)).toBeInTheDocument();
    expect(sent).toEqual([
      {
        zone: "example.com",
        platform: true,
        settings: {
          kind: "rfc2136",
          server: "ns1.example.com",
          key_name: "wisehosting",
          secret: "aHVudGVyMg==",
        },
      },
    ]);
  });
  it("are tried, and say who answered or what is wrong", async () => {
    const { user } = open("admin");
    answer("post", "/api/v1/dns-providers/{id}/test", {
      record: "_acme-challenge.wisehosting-test.example.com",
      servers: ["ns1.example.com", "ns2.example.com"],
      took_ms: 1500,
    });
    await user.click(await screen.findByRole("button", { name: "Try example.com" }));
    expect(
      await screen.findByText(/answered by ns1.example.com, ns2.example.com after 1.5 s/),
    ).toBeInTheDocument();
    refuse("post", "/api/v1/dns-providers/{id}/test", 503, {
      code: "unavailable",
      message: "192.0.2.53 refuses updates",
    });
    await user.click(screen.getByRole("button", { name: "Try example.com" }));
    expect(await screen.findByText(/192.0.2.53 refuses updates/)).toBeInTheDocument();
  });
  it("of the platform are not forgotten by an admin, and are only seen by others", async () => {
    open("admin", [stored, { ...stored, id: "2", zone: "own.example.com", platform: false }]);
    expect(await screen.findByRole("button", { name: "Forget own.example.com" })).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: "Forget example.com" })).toBeNull();
  });
});
