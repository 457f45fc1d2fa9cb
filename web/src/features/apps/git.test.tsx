import { screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import type { GitAccess } from "@/api/types";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { GitAccessCard } from "./git";

const path = "/api/v1/apps/{app}/git-access";
const stored: GitAccess = {
  kind: "key",
  host: "git.example.com",
  username: null,
  public_key: "ssh-ed25519 AAAA",
  host_keys: ["SHA256:abc"],
  updated_by: "ann@example.com",
  updated_at: "2026-01-01T00:00:00Z",
};

function open(access: GitAccess | null) {
  answer("get", path, { access });
  return renderAt("/settings", [{ path: "/settings", element: <GitAccessCard app="shop" /> }]);
}

describe("access to private repositories", () => {
  it("takes a token, which is sent once", async () => {
    const { user } = open(null);
    const sent = answer("post", path, { access: { ...stored, kind: "token" } });
    await user.click(await screen.findByRole("button", { name: "Add a token or key" }));
    await user.type(screen.getByLabelText("Host"), " git.example.com ");
    await user.type(screen.getByLabelText("Token", { selector: "input[type=password]" }), "hunter2");
    await user.click(screen.getByRole("button", { name: "Store token" }));
    expect(await screen.findByText(/fetched with this token/)).toBeInTheDocument();
    expect(sent).toEqual([{ kind: "token", host: "git.example.com", username: "git", token: "hunter2" }]);
    expect(screen.queryByRole("dialog")).toBeNull();
  });
  it("says at the key what is wrong with it", async () => {
    const { user } = open(null);
    refuse("post", path, 422, {
      code: "invalid",
      message: "this is not a private key",
      field: "private_key",
    });
    await user.click(await screen.findByRole("button", { name: "Add a token or key" }));
    await user.click(screen.getByLabelText(/Deploy key/));
    await user.type(screen.getByLabelText("Host"), "git.example.com");
    await user.type(screen.getByLabelText("Private key"), "x");
    await user.click(screen.getByRole("button", { name: "Store key" }));
    expect(await screen.findByText("This is not a private key")).toBeInTheDocument();
  });
  it("shows the public key and the host's, and is forgotten after a question", async () => {
    const { user } = open(stored);
    expect(await screen.findByText("ssh-ed25519 AAAA")).toBeInTheDocument();
    expect(screen.getByText(/SHA256:abc/)).toBeInTheDocument();
    const removed = answer("delete", path, undefined as never, 200);
    await user.click(screen.getByRole("button", { name: "Forget" }));
    await user.click(screen.getByRole("button", { name: "Forget key" }));
    expect(await screen.findByText(/is forgotten/)).toBeInTheDocument();
    expect(removed).toHaveLength(1);
  });
});
