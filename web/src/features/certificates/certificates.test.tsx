import { screen, waitFor } from "@testing-library/react";
import { HttpResponse, http } from "msw";
import { describe, expect, it } from "vitest";
import { makeCertificate, makeFailingCertificate, makeImported, session } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse, server } from "@/testing/server";
import { Component as List } from "./list";
import { Component as Page } from "./page";

const good = makeCertificate("shop.route.example.com");
const certificate = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----";
const key = "-----BEGIN EC PRIVATE KEY-----\nBB==\n-----END EC PRIVATE KEY-----";
const submit = () => screen.getByText("Import", { selector: "button[type=submit]" });
const failing = makeFailingCertificate("blog.example.com");

function open(path: string, role: "admin" | "developer" | "viewer" = "admin", imports = [makeImported()]) {
  answer("get", "/api/v1/session", { ...session, organization: { ...session.organization, role } });
  answer("get", "/api/v1/certificates", { items: [good, failing], next: null });
  answer("get", "/api/v1/certificates/imports", { items: imports, next: null });
  return renderAt(path, [
    { path: "/certificates", Component: List },
    { path: "/certificates/:host", Component: Page },
  ]);
}

describe("the certificates", () => {
  it("come with what somebody has to look at first", async () => {
    open("/certificates");
    await screen.findByText("Valid for 71 more days.");
    const hosts = screen.getAllByRole("row").map((row) => row.textContent ?? "");
    expect(hosts[1]).toContain("blog.example.com");
    expect(hosts[1]).toContain("None yet: the last 3 orders failed.");
    expect(hosts[2]).toContain("shop.route.example.com");
    expect(document.title).toMatch(/^✕/);
  });
  it("are imported by admins, from text or files, and told what is to know", async () => {
    const { user } = open("/certificates");
    const sent = answer("post", "/api/v1/certificates/imports", makeImported(), 201);
    await user.click(await screen.findByRole("button", { name: "Import" }));
    await user.upload(screen.getByLabelText(/Files/), new File([`${key}\n${certificate}`], "all.pem"));
    await waitFor(() => expect(screen.getByLabelText("Private key")).toHaveValue(key));
    expect(screen.getByLabelText("Certificate and its chain")).toHaveValue(certificate);
    await user.click(submit());
    expect(await screen.findByText(/is an internal CA/, { selector: "strong" })).toBeInTheDocument();
    expect(sent).toEqual([{ chain_pem: certificate, key_pem: key }]);
  });
  it("show beside the field what is wrong with a file, and the remedy", async () => {
    const { user } = open("/certificates");
    refuse("post", "/api/v1/certificates/imports", 422, {
      code: "invalid",
      message: "the key is protected by a passphrase",
      field: "key_pem",
      hint: "take it off",
    });
    await user.click(await screen.findByRole("button", { name: "Import" }));
    await user.type(screen.getByLabelText("Certificate and its chain"), "a");
    await user.type(screen.getByLabelText("Private key"), "b");
    await user.click(submit());
    expect(await screen.findByText(/protected by a passphrase Take it off/)).toBeInTheDocument();
  });
  it("are not imported or removed by developers", async () => {
    open("/certificates", "developer");
    expect(await screen.findByText("*.fernhill.example, fernhill.example")).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: "Import" })).toBeNull();
    expect(screen.queryByRole("button", { name: /Remove/ })).toBeNull();
  });
  it("are removed by their name", async () => {
    const { user } = open("/certificates");
    const removed: string[] = [];
    server.use(
      http.delete("*/api/v1/certificates/imports/:id", ({ request }) => {
        removed.push(new URL(request.url).search);
        return new HttpResponse(null, { status: 204 });
      }),
    );
    await user.click(await screen.findByRole("button", { name: "Remove *.fernhill.example" }));
    const remove = screen.getByRole("button", { name: "Remove" });
    expect(remove).toBeDisabled();
    await user.click(screen.getByLabelText("Type *.fernhill.example to confirm"));
    await user.paste("*.fernhill.example");
    await user.click(remove);
    expect(removed).toEqual(["?confirm=*.fernhill.example"]);
  });
});

describe("one certificate", () => {
  it("tells the CA's words, the remedy and the orders", async () => {
    answer("get", "/api/v1/certificates/{host}", failing);
    open("/certificates/blog.example.com");
    expect(await screen.findByRole("alert")).toHaveTextContent("Cloudflare (104.21.3.4");
    expect(screen.queryByText("Served by")).toBeNull();
    expect(screen.getByText("First order")).toBeInTheDocument();
    expect(screen.getByText("3 lines")).toBeInTheDocument();
  });
  it("is reissued after a question, and after another one when there was an order a moment ago", async () => {
    answer("get", "/api/v1/certificates/{host}", good);
    const { user } = open("/certificates/shop.route.example.com", "developer");
    await user.click(await screen.findByRole("button", { name: "Reissue" }));
    refuse("post", "/api/v1/certificates/{host}/reissue", 409, {
      code: "certificate_recent",
      message: "one was ordered less than an hour ago",
    });
    await user.click(screen.getByRole("button", { name: "Order" }));
    const sure = await screen.findByRole("button", { name: "Order another one" });
    const sent = answer("post", "/api/v1/certificates/{host}/reissue", good);
    await user.click(sure);
    expect(sent).toEqual([{ again: true }]);
  });
  it("is not reissued by viewers, and not when it was imported", async () => {
    answer("get", "/api/v1/certificates/{host}", good);
    const { unmount } = open("/certificates/shop.route.example.com", "viewer");
    expect(await screen.findByRole("button", { name: "Chain" })).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: "Reissue" })).toBeNull();
    unmount();
    answer("get", "/api/v1/certificates/{host}", { ...good, source: "imported" });
    open("/certificates/shop.route.example.com");
    expect(await screen.findByText("Imported")).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: "Reissue" })).toBeNull();
  });
  it("says when it is a wildcard that covers the name, and leads back to the app's domains", async () => {
    answer("get", "/api/v1/certificates/{host}", { ...good, names: ["*.route.example.com"] });
    open("/certificates/shop.route.example.com");
    expect(await screen.findByText(/It covers shop.route.example.com/)).toBeInTheDocument();
    expect(screen.getByRole("link", { name: "Domains" })).toHaveAttribute(
      "href",
      `/apps/${good.app}/domains`,
    );
  });
  it("says which proxies serve it", async () => {
    answer("get", "/api/v1/certificates/{host}", {
      ...good,
      proxies: [{ node: "edge-1", connected: true, generation: 47, current: false }],
    });
    open("/certificates/shop.route.example.com");
    expect(await screen.findByText("serves an older table, table 47")).toBeInTheDocument();
  });
  it("cannot be reissued before the budget allows it", async () => {
    answer("get", "/api/v1/certificates/{host}", { ...good, reissue_at: "2999-01-01T00:00:00Z" });
    const { user } = open("/certificates/shop.route.example.com");
    await user.click(await screen.findByRole("button", { name: "Reissue" }));
    expect(screen.getByText("Too many orders")).toBeInTheDocument();
    expect(screen.getByRole("button", { name: "Order" })).toBeDisabled();
  });
});
