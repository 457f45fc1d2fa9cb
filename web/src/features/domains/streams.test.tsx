import { screen, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { Stream } from "@/api/types";
import { ago, makeApp, makeStream } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { StreamsCard } from "./streams-card";

const app = makeApp("db");
const place = "/api/v1/apps/{app}/streams";
const ports = "30000-30999, 5432";
const defaults = { allow: [], proxy_protocol: false, tls: null, max_connections: null, idle_timeout_s: null };

function open(items: Stream[], mayChange = true) {
  answer("get", place, { items, ports });
  return renderAt("/", [{ path: "/", element: <StreamsCard app={app} mayChange={mayChange} /> }]);
}

describe("streams", () => {
  it("are published and show the address to connect to", async () => {
    const { user } = open([]);
    const sent = answer("post", place, makeStream("tcp", 30000), 201);
    await user.click(await screen.findByRole("button", { name: "Publish a port" }));
    const form = within(screen.getByRole("dialog"));
    expect(await form.findByText(`One of ${ports}.`)).toBeInTheDocument();
    await user.type(form.getByLabelText(/Let in only/), "192.0.2.0/24, 2001:db8::7");
    await user.click(form.getByLabelText(/TLS with the certificate/));
    answer("get", place, { items: [makeStream("tcp", 30000, { address: "db.example.com:30000" })], ports });
    await user.click(form.getByRole("button", { name: "Publish" }));
    expect(await screen.findByText("db.example.com:30000")).toBeInTheDocument();
    expect(screen.getByRole("button", { name: "Copy address of 30000/tcp" })).toBeInTheDocument();
    const allow = ["192.0.2.0/24", "2001:db8::7"];
    expect(sent).toEqual([{ protocol: "tcp", options: { ...defaults, allow, tls: app.hostname } }]);
  });
  it("of UDP have no options of TCP", async () => {
    const { user } = open([]);
    const sent = answer("post", place, makeStream("udp", 5432), 201);
    await user.click(await screen.findByRole("button", { name: "Publish a port" }));
    const form = within(screen.getByRole("dialog"));
    await user.click(form.getByLabelText(/PROXY protocol/));
    await user.click(form.getByRole("radio", { name: /UDP/ }));
    expect(form.queryByLabelText(/PROXY protocol/)).toBeNull();
    await user.type(form.getByLabelText(/Port of the proxies/), "5432");
    await user.click(form.getByRole("button", { name: "Publish" }));
    expect(await screen.findByText("Port 5432 leads to db")).toBeInTheDocument();
    expect(sent).toEqual([{ protocol: "udp", port: 5432, options: defaults }]);
  });
  it("say at the field that a port is taken", async () => {
    const { user } = open([]);
    refuse("post", place, 409, { code: "port_taken", message: "port 5432 is taken", field: "port" });
    await user.click(await screen.findByRole("button", { name: "Publish a port" }));
    await user.type(screen.getByLabelText(/Port of the proxies/), "5432");
    await user.click(screen.getByRole("button", { name: "Publish" }));
    expect(await screen.findByText("Port 5432 is taken")).toBeInTheDocument();
  });
  it("tell which proxy does not listen, and what else is wrong", async () => {
    const problem = "another process of this host has the port";
    const warning = "No instance of the app serves";
    open([makeStream("tcp", 30000, { warning, problems: [{ node: "edge-1", problem, since: ago(60) }] })]);
    expect(await screen.findByText("edge-1 does not listen there")).toBeInTheDocument();
    expect(screen.getByText(`A${problem.slice(1)}.`)).toBeInTheDocument();
    expect(screen.getByText(`${warning}.`)).toBeInTheDocument();
  });
  it("are closed after a question", async () => {
    const { user } = open([makeStream("udp", 30000)]);
    const removed = answer("delete", `${place}/{protocol}/{port}`, undefined as never, 200);
    await user.click(await screen.findByRole("button", { name: "Close port 30000/udp" }));
    await user.click(screen.getByRole("button", { name: "Close port" }));
    expect(await screen.findByText("Port 30000/udp is closed")).toBeInTheDocument();
    expect(removed).toHaveLength(1);
  });
  it("are only looked at by a viewer", async () => {
    open([makeStream("tcp", 30000)], false);
    expect(await screen.findByText(/open to everybody/)).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: /Publish|Close/ })).toBeNull();
  });
});
