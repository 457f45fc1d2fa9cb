import { screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { session } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { Registries } from "./registries";

const stored = {
  host: "registry.example.com",
  username: "ann",
  updated_by: "ann@example.com",
  updated_at: "2026-01-01T00:00:00Z",
  images_path: null as string | null,
  images_kept: 0,
  images_waiting: 0,
  image_problems: [] as string[],
};

function open(role: "admin" | "developer", items = [stored]) {
  answer("get", "/api/v1/session", { ...session, organization: { ...session.organization, role } });
  answer("get", "/api/v1/registries", { items, next: null });
  return renderAt("/settings", [{ path: "/settings", Component: Registries }]);
}

describe("registries", () => {
  it("are logged in to by an admin, whose password is sent once", async () => {
    const { user } = open("admin", []);
    const sent = answer("post", "/api/v1/registries", stored);
    await user.click(await screen.findByRole("button", { name: "Add a login" }));
    await user.type(screen.getByLabelText("Host"), " registry.example.com ");
    await user.type(screen.getByLabelText("User name"), "ann");
    await user.type(screen.getByLabelText("Password or token"), "hunter2");
    await user.click(screen.getByRole("button", { name: "Store login" }));
    expect(await screen.findByText(/Builds pull from registry.example.com as ann/)).toBeInTheDocument();
    expect(sent).toEqual([{ host: "registry.example.com", username: "ann", password: "hunter2" }]);
    expect(screen.queryByLabelText("Password or token")).toBeNull();
  });
  it("say at the field what is wrong", async () => {
    const { user } = open("admin");
    refuse("post", "/api/v1/registries", 422, {
      code: "invalid",
      message: "this is not the host of a registry",
      field: "host",
    });
    await user.click(await screen.findByRole("button", { name: "Add a login" }));
    await user.type(screen.getByLabelText("Host"), "library");
    await user.type(screen.getByLabelText("User name"), "ann");
    await user.type(screen.getByLabelText("Password or token"), "x");
    await user.click(screen.getByRole("button", { name: "Store login" }));
    expect(await screen.findByText("This is not the host of a registry")).toBeInTheDocument();
  });
  it("are forgotten after a question", async () => {
    const { user } = open("admin");
    const removed = answer("delete", "/api/v1/registries/{host}", undefined as never, 200);
    await user.click(await screen.findByRole("button", { name: "Forget registry.example.com" }));
    await user.click(screen.getByRole("button", { name: "Forget login" }));
    expect(await screen.findByText(/is forgotten/)).toBeInTheDocument();
    expect(removed).toHaveLength(1);
  });
  it("are chosen as the place of built images", async () => {
    const { user } = open("admin");
    const sent = answer("post", "/api/v1/registries/{host}/images", { ...stored, images_path: "team" });
    await user.click(await screen.findByRole("button", { name: "Built images at registry.example.com" }));
    await user.clear(screen.getByLabelText("Path"));
    await user.type(screen.getByLabelText("Path"), "team");
    await user.click(screen.getByRole("button", { name: "Keep images here" }));
    expect(await screen.findByText(/Built images are kept at registry.example.com/)).toBeInTheDocument();
    expect(sent).toEqual([{ path: "team" }]);
  });
  it("say what they have of built images and what is in the way, and get no more on demand", async () => {
    const problem = "push registry.example.com/team/hello:v3: no space there";
    const used = {
      ...stored,
      images_path: "team",
      images_kept: 2,
      images_waiting: 1,
      image_problems: [problem],
    };
    const { user } = open("admin", [used]);
    expect(await screen.findByText(/2 in team/)).toBeInTheDocument();
    expect(screen.getByText("1 waiting")).toBeInTheDocument();
    expect(screen.getByText(`Cannot ${problem}`)).toBeInTheDocument();
    const ended = answer("delete", "/api/v1/registries/{host}/images", undefined as never, 200);
    await user.click(screen.getByRole("button", { name: "Built images at registry.example.com" }));
    await user.click(screen.getByRole("button", { name: "Push no more" }));
    expect(await screen.findByText(/No more images are pushed/)).toBeInTheDocument();
    expect(ended).toHaveLength(1);
  });
  it("are only looked at by a developer", async () => {
    open("developer");
    expect(await screen.findByText("registry.example.com")).toBeInTheDocument();
    expect(screen.queryByRole("button")).toBeNull();
  });
});
