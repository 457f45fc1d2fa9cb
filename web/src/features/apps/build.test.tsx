import { screen } from "@testing-library/react";
import { useState } from "react";
import { Outlet } from "react-router";
import { describe, expect, it } from "vitest";
import type { Containerfile } from "@/api/types";
import { makeApp, settings } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { BuildFields, buildFormOf, buildProblems, containerfileOf, describeBuild } from "./build";
import { serverProblem } from "./form";
import { Component as Settings } from "./settings";

const plain: Containerfile = {
  preset: null,
  folder: null,
  path: null,
  publish: null,
  spa: null,
  context: ".",
  target: null,
  args: {},
  platform: null,
  pull: false,
  labels: {},
};
const own: Containerfile = {
  preset: null,
  folder: "apps/shop",
  path: "deploy/Containerfile",
  publish: null,
  spa: null,
  context: "web",
  target: "release",
  args: { EMPTY: "", OPTIONS: "--a=1 --b = 2 ", VERSION: "4" },
  platform: "linux/arm64",
  pull: true,
  labels: { "org.example/team": "shop" },
};
const empty = buildFormOf(null);

function Fields() {
  const [form, setForm] = useState(empty);
  return <BuildFields form={form} onChange={setForm} problems={{}} />;
}

describe("the form of a build", () => {
  it.each([
    own,
    { ...plain, preset: "static" as const },
    { ...plain, args: { A: "1" } },
    { ...plain, pull: true },
    { ...plain, preset: "vite" as const, publish: "build", spa: false },
    { ...plain, publish: "public" },
  ])("gives back %j", (wanted) => expect(containerfileOf(buildFormOf(wanted))).toEqual(wanted));
  it("asks for nothing where all of it is the default", () => {
    expect(containerfileOf(empty)).toBeNull();
    expect(buildFormOf(plain)).toEqual(empty);
    expect(containerfileOf({ ...empty, folder: " ", context: " . ", buildArgs: "\n \n" })).toBeNull();
  });
  it("names no Containerfile beside a preset, and forgets none that was typed before it was chosen", () => {
    const form = { ...buildFormOf(own), preset: "go" as const };
    expect(containerfileOf(form)).toMatchObject({ preset: "go", path: null });
    expect(containerfileOf({ ...form, preset: "" })).toEqual(own);
    expect(buildProblems({ ...form, containerfile: "/etc" })).toEqual({});
  });
  it.each(["/etc", "-v", "..", "a/../b", "a\tb", "a".repeat(1025)])("takes no path “%s”", (path) => {
    const problems = buildProblems({ ...empty, folder: path, containerfile: path, context: path });
    expect(Object.keys(problems).sort()).toEqual(["containerfile", "context", "folder"]);
  });
  it("takes paths inside the source and names of stages", () => {
    expect(buildProblems({ ...empty, folder: "a..b/c", containerfile: "./x", target: "run_2.0-a" })).toEqual(
      {},
    );
    for (const target of ["--x", "a b", ".a", "a".repeat(129)])
      expect(buildProblems({ ...empty, target }), target).toHaveProperty("target");
  });
  it.each([
    ["VERSION", "“VERSION” is not NAME=value."],
    ["1A=x", "“1A=x” is not NAME=value."],
    ["a b=x", "“a b=x” is not NAME=value."],
    ["A=1\nB=2\nA=3", "A is there twice."],
    ["A=a\tb", "The value of A has control characters."],
    [`A=${"é".repeat(2049)}`, "The value of A is longer than 4096 bytes."],
    [Array.from({ length: 65 }, (_, n) => `A${n}=`).join("\n"), "At most 64 lines."],
  ])("refuses the arguments %j", (buildArgs, problem) =>
    expect(buildProblems({ ...empty, buildArgs })).toEqual({ buildArgs: problem }),
  );
  it("takes platforms and labels, but not the labels that mark images of ours", () => {
    for (const platform of ["linux/amd64", "linux/arm/v7"])
      expect(buildProblems({ ...empty, platform }), platform).toEqual({});
    for (const platform of ["amd64", "windows/amd64", "linux/", "linux/arm/v7/x", "linux/--x"])
      expect(buildProblems({ ...empty, platform }), platform).toHaveProperty("platform");
    expect(buildProblems({ ...empty, labels: "org.example/team=shop" })).toEqual({});
    expect(buildProblems({ ...empty, labels: "-x=1" })).toHaveProperty("labels");
    expect(buildProblems({ ...empty, labels: "wisehosting.image=1" }).labels).toMatch(/itself/);
  });
  it("finds the place of the server's complaint", () => {
    expect(serverProblem("settings.containerfile.path", "m")).toEqual({ containerfile: "m" });
    expect(serverProblem("containerfile.args.a b.c", "m")).toEqual({ buildArgs: "m" });
    expect(serverProblem("settings.containerfile.labels.a/b", "m")).toEqual({ labels: "m" });
  });
  it("is told in one line", () => {
    expect(describeBuild(own)).toBe("deploy/Containerfile, stage release, in apps/shop, for linux/arm64");
    expect(describeBuild({ ...plain, preset: "nextjs" })).toBe("preset Next.js");
    expect(describeBuild({ ...plain, folder: "web" })).toBe(`${describeBuild(null)}, in web`);
  });
  it("has no place for a Containerfile while a preset is chosen", async () => {
    const { user } = renderAt("/", [{ path: "/", Component: Fields }]);
    expect(await screen.findByLabelText(/^Containerfile/)).toBeInTheDocument();
    await user.selectOptions(screen.getByLabelText("Built with"), "Preset Go");
    expect(screen.queryByLabelText(/^Containerfile/)).toBeNull();
  });
});

describe("the settings of an app", () => {
  const app = makeApp("shop", { settings: { ...settings(), containerfile: own } });
  const open = () => {
    answer("get", "/api/v1/apps/{app}/git-access", { access: null });
    return renderAt("/", [
      { element: <Outlet context={app} />, children: [{ path: "/", Component: Settings }] },
    ]);
  };
  it("send how it is built, after they are changed", async () => {
    const sent = answer("patch", "/api/v1/apps/{app}", app);
    const { user } = open();
    await screen.findByLabelText("Built with");
    expect(screen.queryByText("Unsaved changes")).toBeNull();
    await user.clear(screen.getByLabelText(/^Target stage/));
    expect(screen.getByText("Unsaved changes")).toBeInTheDocument();
    await user.click(screen.getByRole("button", { name: "Save settings" }));
    expect(await screen.findByText(/Settings saved/)).toBeInTheDocument();
    expect(sent).toMatchObject([{ containerfile: { ...own, target: null } }]);
  });
  it("show at a field what the server says of it", async () => {
    const field = "containerfile.context";
    refuse("patch", "/api/v1/apps/{app}", 422, { code: "invalid", message: "no such folder", field });
    const { user } = open();
    await user.type(await screen.findByLabelText(/^Context/), "/x");
    await user.click(screen.getByRole("button", { name: "Save settings" }));
    await screen.findByText("No such folder");
    expect(screen.getByLabelText(/^Context/)).toHaveAccessibleDescription(/No such folder/);
  });
});
