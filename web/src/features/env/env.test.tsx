import { screen, waitFor, within } from "@testing-library/react";
import { Outlet } from "react-router";
import { describe, expect, it } from "vitest";
import { makeApp, makeVariable } from "@/testing/data";
import { renderAt } from "@/testing/render";
import { answer, refuse } from "@/testing/server";
import { Component as Page } from "./page";
import { nameProblem, parseEnvFile } from "./parse";

const app = makeApp("shop");
const routes = [{ element: <Outlet context={app} />, children: [{ path: "/", Component: Page }] }];
const variables = [makeVariable("TOKEN")];
const predefined = [
  { name: "WISEHOSTING_URL", about: "where the app is served", value: "https://shop.example.com" },
  { name: "WISEHOSTING_NODE", about: "the node that the instance runs on", value: null },
];

describe("the environment", () => {
  it("asks for values only when they are wanted and forgets them when hidden", async () => {
    answer("get", "/api/v1/apps/{app}/env", { variables, pending: false, predefined });
    const { user } = renderAt("/", routes);
    expect(await screen.findByRole("img", { name: "Hidden" })).toBeInTheDocument();
    const asked = answer("get", "/api/v1/apps/{app}/env", {
      variables: [makeVariable("TOKEN", { value: "s3cret" })],
      pending: false,
      predefined,
    });
    await user.click(screen.getByRole("button", { name: "Reveal" }));
    expect(await screen.findByText("s3cret")).toBeInTheDocument();
    expect(asked).toHaveLength(1);
    await user.click(screen.getByRole("button", { name: "Hide" }));
    expect(screen.queryByText("s3cret")).toBeNull();
  });
  it("shows what the platform sets, without a way to change it", async () => {
    answer("get", "/api/v1/apps/{app}/env", { variables: [], pending: false, predefined });
    renderAt("/", routes);
    const row = (await screen.findByText("WISEHOSTING_URL")).closest("tr");
    expect(row).toHaveTextContent("https://shop.example.com");
    expect(screen.getByText("WISEHOSTING_NODE").closest("tr")).toHaveTextContent("–");
    expect(screen.queryByRole("button", { name: /^Change WISE/ })).toBeNull();
  });
  it("keeps a change for later", async () => {
    answer("get", "/api/v1/apps/{app}/env", { variables, pending: false, predefined });
    const requests = answer("patch", "/api/v1/apps/{app}/env", {
      variables,
      pending: true,
      predefined,
      deployment: null,
    });
    const { user } = renderAt("/", routes);
    await user.click(await screen.findByRole("button", { name: "Add variables" }));
    await user.type(screen.getByLabelText("Name"), "NEW");
    await user.type(screen.getByLabelText("Value"), "1");
    await user.click(screen.getByRole("button", { name: "Save" }));
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    expect(requests).toEqual([{ set: { NEW: "1" }, unset: [], deploy: false }]);
  });
  it("lets build steps mount a variable", async () => {
    answer("get", "/api/v1/apps/{app}/env", { variables, pending: false, predefined });
    const requests = answer("patch", "/api/v1/apps/{app}/env", {
      variables: [makeVariable("TOKEN", { build_time: true })],
      pending: true,
      predefined,
      deployment: null,
    });
    const { user } = renderAt("/", routes);
    await user.click(await screen.findByRole("button", { name: "Change TOKEN" }));
    await user.type(screen.getByLabelText("New value"), "1");
    await user.click(screen.getByLabelText(/For builds too/));
    await user.click(screen.getByRole("button", { name: "Save" }));
    expect(await screen.findByText("for builds too")).toBeInTheDocument();
    expect(requests).toEqual([
      { set: { TOKEN: "1" }, unset: [], deploy: false, build_time: { TOKEN: true } },
    ]);
  });
  it("keeps the value when only what is said about it changes", async () => {
    answer("get", "/api/v1/apps/{app}/env", { variables, pending: false, predefined });
    const requests = answer("patch", "/api/v1/apps/{app}/env", {
      variables: [makeVariable("TOKEN", { required: true, locked: true, comment: "of CI" })],
      pending: false,
      predefined,
      deployment: null,
    });
    const { user } = renderAt("/", routes);
    await user.click(await screen.findByRole("button", { name: "Change TOKEN" }));
    await user.type(screen.getByLabelText(/Comment/), "of CI");
    await user.click(screen.getByLabelText(/Required/));
    await user.click(screen.getByLabelText(/Locked/));
    await user.click(screen.getByRole("button", { name: "Save" }));
    expect(await screen.findByText("locked")).toBeInTheDocument();
    expect(requests).toEqual([
      {
        set: {},
        unset: [],
        deploy: false,
        required: { TOKEN: true },
        locked: { TOKEN: true },
        comments: { TOKEN: "of CI" },
      },
    ]);
    await user.click(screen.getByRole("button", { name: "Change TOKEN" }));
    expect(screen.getByLabelText(/Locked/)).toBeDisabled();
  });
  it("edits all variables as a text and says which line is wrong", async () => {
    answer("get", "/api/v1/apps/{app}/env", { variables, pending: false, predefined });
    answer("get", "/api/v1/apps/{app}/env/file", { text: "# why\nA=1\n", version: "v1", locked: ["KEY"] });
    refuse("patch", "/api/v1/apps/{app}/env/file", 422, {
      code: "invalid",
      message: "line 3: has no `=`",
      field: "text",
    });
    const { user } = renderAt("/", routes);
    await user.click(await screen.findByRole("button", { name: "Edit as text" }));
    const area = await screen.findByLabelText("Variables");
    expect(area).toHaveValue("# why\nA=1\n");
    expect(screen.getByText("KEY")).toBeInTheDocument();
    await user.type(area, "B");
    await user.click(screen.getByRole("button", { name: "Save" }));
    await waitFor(() => expect(area).toHaveAccessibleDescription(/line 3/i));
    const requests = answer("patch", "/api/v1/apps/{app}/env/file", {
      variables,
      pending: true,
      predefined,
      deployment: null,
    });
    await user.type(area, "=2");
    await user.click(screen.getByRole("button", { name: "Save" }));
    await waitFor(() => expect(screen.queryByRole("dialog")).toBeNull());
    expect(requests).toEqual([{ text: "# why\nA=1\nB=2", version: "v1", keep: false, deploy: false }]);
  });
  it("takes a whole file that is pasted into a name", async () => {
    answer("get", "/api/v1/apps/{app}/env", { variables: [], pending: false, predefined });
    const { user } = renderAt("/", routes);
    await user.click(await screen.findByRole("button", { name: "Add variables" }));
    await user.click(screen.getByLabelText("Name"));
    await user.paste("# two\nA=1\nexport B='x y'\n");
    const dialog = within(screen.getByRole("dialog"));
    expect(dialog.getAllByLabelText("Name").map((field) => (field as HTMLInputElement).value)).toEqual([
      "A",
      "B",
    ]);
  });
  it("puts the server's complaint beside the variable it names", async () => {
    answer("get", "/api/v1/apps/{app}/env", { variables, pending: false, predefined });
    refuse("patch", "/api/v1/apps/{app}/env", 422, {
      code: "name_invalid",
      message: "PORT is set by us.",
      field: "PORT",
    });
    const { user } = renderAt("/", routes);
    await user.click(await screen.findByRole("button", { name: "Add variables" }));
    await user.type(screen.getByLabelText("Name"), "PORT");
    await user.click(screen.getByRole("button", { name: "Save" }));
    await waitFor(() => expect(screen.getByLabelText("Name")).toHaveAccessibleDescription(/set by us/));
  });
});

describe("env files", () => {
  it("are read with quotes, comments and exports", () => {
    expect(parseEnvFile(`A=1 # one\nB="x\\ny"\nC='#no'\nexport D=\n`)).toEqual({
      A: "1",
      B: "x\ny",
      C: "#no",
      D: "",
    });
  });
  it("are told from other text", () => {
    expect(parseEnvFile("hello world")).toBeUndefined();
    expect(parseEnvFile("")).toBeUndefined();
  });
  it.each(["", "1A", "A-B", "A B", "WISEHOSTING_URL"])("have no variable named “%s”", (name) =>
    expect(nameProblem(name)).toBeTypeOf("string"),
  );
});
