import { screen, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { EgressRule, PrivateNetwork } from "@/api/private-network";
import { egressLines, readEgress } from "@/lib/egress";
import { makeApp } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { PrivateCard } from "./private-card";

const app = makeApp("api");
const project = app.project.slug;
const place = "/api/v1/projects/{project}/network";
const grants = `${place}/grants` as const;
const egress = `${place}/egress` as const;
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
const nothing = { project, apps: [], grants: [], egress: null };

function open(network: Partial<PrivateNetwork>, mayChange = true) {
  const apps = [named("api", [8080]), named("db", [5432])];
  answer("get", place, { project, apps, grants: [], egress: null, ...network });
  return renderAt("/", [{ path: "/", element: <PrivateCard app={app} mayChange={mayChange} /> }]);
}

function choices() {
  const organization = { id: "0190a000-0000-7000-8000-000000000009", slug: "acme" };
  const items = [project, "office"].map((slug) => ({ id: slug, slug, name: slug, organization }));
  answer("get", "/api/v1/projects", { items, next: null } as never);
  const desk = makeApp("desk", { project: { ...app.project, slug: "office" } });
  answer("get", "/api/v1/apps", { items: [app, makeApp("db"), desk], next: null } as never);
}

const dialog = async () => within(await screen.findByRole("dialog"));

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
  it("takes a grant back once that is confirmed", async () => {
    const { user } = open({ grants: [grant] });
    await user.click(await screen.findByRole("button", { name: "Revoke the grant from office to shop/api" }));
    const sure = await dialog();
    expect(sure.getByText(/Open connections stay/)).toBeInTheDocument();
    answer("delete", grants, undefined as never, 200);
    answer("get", place, nothing);
    await user.click(sure.getByRole("button", { name: "Revoke" }));
    await expect.poll(() => screen.queryByRole("button", { name: /Revoke/ })).toBeNull();
  });
  it("shows those who may not change it why they cannot", async () => {
    open({ grants: [grant] }, false);
    expect(await screen.findByText(/Apps of office may reach shop\/api/)).toBeInTheDocument();
    for (const name of [/Revoke/, "Grant access", "Change what is reached outside"]) {
      const button = screen.getByRole("button", { name });
      expect(button).toBeDisabled();
      expect(button).toHaveAccessibleDescription(/Only administrators/);
    }
  });
});

describe("grants", () => {
  it("let another project reach one app of this one", async () => {
    choices();
    const { user } = open({});
    const sent = answer("post", grants, nothing);
    await user.click(await screen.findByRole("button", { name: "Grant access" }));
    const form = await dialog();
    await form.findByRole("option", { name: "office" });
    await user.selectOptions(form.getByLabelText("The other project"), "office");
    await user.selectOptions(form.getByLabelText("What may be reached"), "api");
    await user.click(form.getByRole("button", { name: "Grant" }));
    expect(await screen.findByText(`Apps of office may reach ${project}/api`)).toBeInTheDocument();
    expect(sent).toEqual([{ project, app: "api" }]);
  });
  it("let this project reach all of another one", async () => {
    choices();
    const { user } = open({});
    const sent = answer("post", grants, nothing);
    await user.click(await screen.findByRole("button", { name: "Grant access" }));
    const form = await dialog();
    await user.click(form.getByRole("radio", { name: /reaches others/ }));
    await form.findByRole("option", { name: "office" });
    await user.selectOptions(form.getByLabelText("The other project"), "office");
    expect(form.getByRole("option", { name: "desk alone" })).toBeInTheDocument();
    await user.click(form.getByRole("button", { name: "Grant" }));
    expect(await screen.findByText(`Apps of ${project} may reach office`)).toBeInTheDocument();
    expect(sent).toEqual([{ project: "office" }]);
  });
  it("say at the field what is missing or wrong", async () => {
    choices();
    const { user } = open({});
    await user.click(await screen.findByRole("button", { name: "Grant access" }));
    const form = await dialog();
    await user.click(form.getByRole("button", { name: "Grant" }));
    expect(await form.findByText("Choose the other project.")).toBeInTheDocument();
    await form.findByRole("option", { name: "office" });
    await user.selectOptions(form.getByLabelText("The other project"), "office");
    refuse("post", grants, 422, { code: "invalid", message: "the app was deleted", field: "app" });
    await user.click(form.getByRole("button", { name: "Grant" }));
    expect(await form.findByText("The app was deleted")).toBeInTheDocument();
    expect(form.getByLabelText("What may be reached")).toBeInvalid();
  });
});

describe("what is reached outside", () => {
  async function edit(rules: EgressRule[] | null) {
    const { user } = open({ egress: rules });
    await user.click(await screen.findByRole("button", { name: "Change what is reached outside" }));
    return { user, form: await dialog() };
  }
  it("is networks and ports, one in a line", async () => {
    const { user, form } = await edit(null);
    const rules = [{ to: "203.0.113.0/24", ports: [443, 5432] }, { to: "198.51.100.7/32" }];
    const sent = answer("put", egress, { ...nothing, egress: rules });
    await user.click(form.getByRole("radio", { name: /Only there/ }));
    await user.type(form.getByLabelText("Networks"), "203.0.113.0/24 443, 5432{Enter}198.51.100.7");
    await user.click(form.getByRole("button", { name: "Restrict" }));
    await screen.findByText(`${project} reaches outside: 203.0.113.0/24 port 443, 5432; 198.51.100.7/32`);
    expect(sent).toEqual([{ egress: rules }]);
  });
  it("can be nowhere, and open again", async () => {
    const { user, form } = await edit([]);
    expect(form.getByRole("radio", { name: /Nowhere/ })).toBeChecked();
    const sent = answer("put", egress, nothing);
    await user.click(form.getByRole("radio", { name: /Anywhere public/ }));
    await user.click(form.getByRole("button", { name: "Open" }));
    await screen.findByText(`${project} reaches outside: anywhere public`);
    expect(sent).toEqual([{ egress: null }]);
  });
  it("is refused at the field, by the line that is wrong or by the control plane", async () => {
    const { user, form } = await edit([{ to: "203.0.113.0/24", ports: [443] }]);
    const field = form.getByLabelText("Networks");
    expect(field).toHaveValue("203.0.113.0/24 443");
    await user.type(field, "{Enter}example.com");
    await user.click(form.getByRole("button", { name: "Restrict" }));
    expect(await form.findByText("Line 2: example.com is no address and no network.")).toBeInTheDocument();
    refuse("put", egress, 422, { code: "invalid", message: "at most 100 rules", field: "egress" });
    await user.clear(field);
    await user.type(field, "203.0.113.0/24");
    await user.click(form.getByRole("button", { name: "Restrict" }));
    expect(await form.findByText("At most 100 rules")).toBeInTheDocument();
    expect(field).toBeInvalid();
  });
  it("is read and written in one form", () => {
    const rules = [{ to: "203.0.113.0/24", ports: [443] }, { to: "2001:db8::/32" }];
    expect(readEgress(egressLines(rules))).toEqual(rules);
    expect(readEgress("\n 2001:db8::1 25\n")).toEqual([{ to: "2001:db8::1/128", ports: [25] }]);
    for (const wrong of [
      "1.2.3.4/33",
      "1.2.3.4:443",
      "::/129",
      "1.2.3.4 0",
      "1.2.3.4 65536",
      "1.2.3.4 http",
    ]) {
      expect(readEgress(wrong)).toEqual({ error: expect.stringMatching(/^Line 1: /) });
    }
  });
});
