import { screen, waitFor } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { session } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { Component as Login, ownPath } from "./login";
import { Component as Setup } from "./setup";

const routes = [
  { path: "/login", Component: Login },
  { path: "/setup", Component: Setup },
  { path: "*", element: <p>inside</p> },
];

describe("signing in", () => {
  it("leads back to where the session ended", async () => {
    const requests = answer("post", "/api/v1/session", session);
    const { user, router } = renderAt("/login?to=%2Fapps%2Fshop%3Fq%3D1", routes);
    await user.type(await screen.findByLabelText("E-mail"), "ada@example.com");
    await user.type(screen.getByLabelText("Password"), "correct horse{Enter}");
    await screen.findByText("inside");
    expect(requests).toEqual([{ email: "ada@example.com", password: "correct horse" }]);
    expect(router.state.location).toMatchObject({ pathname: "/apps/shop", search: "?q=1" });
  });
  it("says by the code that the password is wrong", async () => {
    refuse("post", "/api/v1/session", 401, { code: "credentials_wrong", message: "anything" });
    const { user } = renderAt("/login", routes);
    await user.type(await screen.findByLabelText("E-mail"), "ada@example.com");
    await user.type(screen.getByLabelText("Password"), "wrong{Enter}");
    expect(await screen.findByRole("alert")).toHaveTextContent("E-mail or password is wrong");
  });
  it.each([
    ["/apps", "/apps"],
    ["//evil.example", "/"],
    ["/\\evil.example", "/"],
    ["https://evil.example", "/"],
    [null, "/"],
  ])("follows %s to %s", (to, path) => expect(ownPath(to)).toBe(path));
});

describe("the first run", () => {
  it("takes the code from the address and makes the administrator", async () => {
    answer("get", "/api/v1/setup", { needed: true });
    const requests = answer("post", "/api/v1/setup", session, 201);
    const { user } = renderAt("/setup#code=ABC-123", routes);
    await user.type(await screen.findByLabelText("Your name"), "Ada");
    await user.type(screen.getByLabelText("E-mail"), "ada@example.com");
    await user.type(screen.getByLabelText("Password"), "correct horse battery");
    await user.type(screen.getByLabelText("Organization"), "Fernhill");
    expect(screen.queryByLabelText("Setup code")).toBeNull();
    await user.click(screen.getByRole("button", { name: "Create account" }));
    await screen.findByText("inside");
    expect(requests).toEqual([
      {
        code: "ABC-123",
        name: "Ada",
        email: "ada@example.com",
        password: "correct horse battery",
        organization: "Fernhill",
      },
    ]);
  });
  it("explains where the code comes from when the address has none", async () => {
    answer("get", "/api/v1/setup", { needed: true });
    renderAt("/setup", routes);
    expect(await screen.findByLabelText("Setup code")).toBeInTheDocument();
    expect(screen.getByText(/admin setup-code/)).toBeInTheDocument();
  });
  it("puts the server's complaint beside its field", async () => {
    answer("get", "/api/v1/setup", { needed: true });
    refuse("post", "/api/v1/setup", 422, {
      code: "invalid",
      message: "Too easy to guess.",
      field: "password",
    });
    const { user } = renderAt("/setup#code=A", routes);
    for (const label of ["Your name", "Organization"])
      await user.type(await screen.findByLabelText(label), "x");
    await user.type(screen.getByLabelText("E-mail"), "ada@example.com");
    await user.type(screen.getByLabelText("Password"), "aaaaaaaaaaaa{Enter}");
    await waitFor(() =>
      expect(screen.getByLabelText("Password")).toHaveAccessibleDescription(/Too easy to guess/),
    );
  });
  it("is closed once there is an administrator", async () => {
    renderAt("/setup#code=A", routes);
    expect(await screen.findByRole("link", { name: "Go to sign in" })).toHaveAttribute("href", "/login");
  });
});
