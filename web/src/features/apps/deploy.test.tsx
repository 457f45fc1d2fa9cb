import { screen, waitFor, within } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { Source } from "@/api/types";
import { makeApp, makeDeployment } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer } from "@/testing/server";
import { DeployDialog } from "./deploy";

const app = makeApp("shop");
const next = makeDeployment(app, { number: 18 });
const git: Source = { type: "git", url: "https://git.example.com/shop.git", ref: "main", lfs: true };

async function open(source: Source | null) {
  const latest = makeDeployment(app, { kind: "settings", source: null });
  answer("get", "/api/v1/apps/{app}/deployments", {
    items: [latest, makeDeployment(app, { source })],
    next: null,
  });
  const sent = answer("post", "/api/v1/apps/{app}/deployments", next, 202);
  const view = renderAt("/", [
    { path: "/", element: <DeployDialog app={app} onClose={() => {}} /> },
    { path: "*", element: <p>elsewhere</p> },
  ]);
  await screen.findByRole("radio", { name: /Git/ });
  const deploy = () => view.user.click(screen.getByRole("button", { name: "Deploy" }));
  return { ...view, sent, deploy, dialog: within(screen.getByRole("dialog")) };
}

describe("the dialog that deploys", () => {
  it("deploys the latest source once more", async () => {
    const { sent, deploy, router } = await open(git);
    await deploy();
    await waitFor(() => expect(router.state.location.pathname).toBe(`/apps/shop/deployments/${next.id}`));
    expect(sent).toEqual([{ source: { ...git }, no_cache: false }]);
  });
  it("takes another commit, a message, and no cache", async () => {
    const { sent, deploy, user, dialog } = await open(git);
    await user.clear(dialog.getByLabelText("Branch, tag or commit"));
    await user.type(dialog.getByLabelText("Branch, tag or commit"), "8c41f02b");
    await user.type(dialog.getByLabelText(/^Message/), " Prices with tax ");
    await user.click(dialog.getByLabelText(/Rebuild without cache/));
    await deploy();
    await screen.findByText("elsewhere");
    expect(sent).toEqual([
      { source: { ...git, ref: "8c41f02b" }, message: "Prices with tax", no_cache: true },
    ]);
  });
  it("has no cache to leave out for an image", async () => {
    const { sent, deploy, user, dialog } = await open(git);
    await user.click(dialog.getByLabelText(/Rebuild without cache/));
    await user.click(dialog.getByRole("radio", { name: /Image/ }));
    expect(dialog.queryByLabelText(/Rebuild without cache/)).toBeNull();
    await user.type(dialog.getByRole("textbox", { name: "Image" }), "registry.example.com/shop:2");
    await deploy();
    await screen.findByText("elsewhere");
    expect(sent).toEqual([
      { source: { type: "image", reference: "registry.example.com/shop:2" }, no_cache: false },
    ]);
  });
  it("builds the archive of before until another one is chosen", async () => {
    const { sent, deploy } = await open({ type: "archive", archive_id: "0199d2c4-aaaa-bbbb" });
    expect(screen.getByText("aaa-bbbb")).toBeInTheDocument();
    await deploy();
    await screen.findByText("elsewhere");
    expect(sent).toMatchObject([{ source: { type: "archive", archive_id: "0199d2c4-aaaa-bbbb" } }]);
  });
  it("wants a source where there was none", async () => {
    const { sent, deploy } = await open(null);
    await deploy();
    expect(await screen.findByText("Choose an archive.")).toBeInTheDocument();
    expect(sent).toEqual([]);
  });
});
