// Takes pictures of the main pages, for looking: dark and light, desktop and phone.
//
//   npm run shots [-- filter]      SHOTS=folder (default shots/)
import { mkdir } from "node:fs/promises";
import { launch } from "./browser.mjs";
import { ZONE } from "./data.mjs";
import { startMock } from "./mock.mjs";

const folder = process.env.SHOTS ?? "shots";
const filter = process.argv[2] ?? "";
await mkdir(folder, { recursive: true });

const { server, world } = startMock({ stageMs: 1500 });
await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
const address = server.address();
const base = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
/** @param {string} slug */
const latest = (slug) => `/apps/${slug}/deployments/${world.app(slug)?.deployment?.id}`;

/** @type {{ name: string, path: string, signedOut?: boolean, act?: (page: import("playwright-core").Page) => Promise<void> }[]} */
const shots = [
  { name: "login", path: "/login", signedOut: true },
  { name: "certificates", path: "/certificates" },
  { name: "certificate", path: `/certificates/shop.${ZONE}` },
  { name: "certificate-failing", path: "/certificates/blog.fernhill.example" },
  {
    name: "certificate-import",
    path: "/certificates",
    act: (page) => page.getByRole("button", { name: "Import" }).click(),
  },
  { name: "notices", path: "/notices" },
  {
    name: "setup",
    path: "/setup",
    signedOut: true,
    act: async (page) => void (await page.waitForTimeout(100)),
  },
  { name: "overview", path: "/" },
  { name: "apps", path: "/apps" },
  { name: "new", path: "/apps/new", act: async (page) => void (await page.getByLabel("Name").fill("hello")) },
  {
    name: "new-build",
    path: "/apps/new",
    act: async (page) => {
      await page.getByText("Build its Containerfile").click();
      await page.getByLabel("Context").fill("../..");
      await page.getByLabel("Build arguments").scrollIntoViewIfNeeded();
    },
  },
  { name: "app", path: "/apps/shop" },
  {
    name: "deploy",
    path: "/apps/shop#deploy",
    act: async (page) => {
      await page.getByLabel("Message").fill("Prices with tax");
      await page.getByLabel(/Rebuild without cache/).check();
    },
  },
  {
    name: "deploy-archive",
    path: "/apps/shop#deploy",
    act: async (page) => {
      await page.getByRole("radio", { name: /Archive/ }).check();
      await page.getByRole("dialog").getByRole("button", { name: "Deploy" }).click();
    },
  },
  { name: "app-empty", path: "/apps/status-page" },
  { name: "deployments", path: "/apps/shop/deployments" },
  { name: "releases", path: "/apps/shop/releases" },
  {
    name: "compare",
    path: "/apps/shop/releases",
    act: (page) => page.getByRole("button", { name: "Compare v29" }).click(),
  },
  {
    name: "rollback",
    path: "/apps/shop",
    act: (page) => page.getByRole("button", { name: "Roll back" }).click(),
  },
  { name: "logs", path: "/apps/shop/logs" },
  { name: "terminal", path: "/apps/shop/terminal" },
  { name: "environment", path: "/apps/shop/environment" },
  {
    name: "env-add",
    path: "/apps/shop/environment",
    act: (page) => page.getByRole("button", { name: "Add variables" }).click(),
  },
  {
    name: "app-settings",
    path: "/apps/shop/settings",
    act: async (page) => void (await page.getByLabel("Memory").fill("1024")),
  },
  {
    name: "app-settings-preset",
    path: "/apps/shop/settings",
    act: async (page) => {
      await page.getByLabel("Built with").selectOption("static");
      await page.getByLabel("Build arguments").fill("VERSION");
      await page.getByLabel("Build arguments").scrollIntoViewIfNeeded();
    },
  },
  {
    name: "domains",
    path: "/apps/shop/domains",
    act: (page) => page.getByText("As lines of a zone file").last().scrollIntoViewIfNeeded(),
  },
  { name: "app-activity", path: "/apps/shop/activity" },
  { name: "traffic", path: "/apps/shop/traffic" },
  {
    name: "traffic-at",
    path: "/apps/shop/traffic?range=1h",
    act: async (page) => {
      await page.getByLabel(/A moment of Requests/).focus();
      for (let step = 0; step < 17; step++) await page.keyboard.press("ArrowLeft");
    },
  },
  {
    name: "traffic-filtered",
    path: "/apps/shop/traffic?range=30d&follow=off",
    act: async (page) => {
      await page.getByRole("button", { name: "Requests that begin with /products/" }).click();
      await page.getByLabel("Status").fill("5x");
      await page.getByLabel("Status").blur();
    },
  },
  {
    name: "traffic-request",
    path: "/apps/shop/traffic?status=5xx",
    act: (page) =>
      page
        .getByRole("button", { name: /POST \/checkout/ })
        .first()
        .click(),
  },
  { name: "traffic-none", path: "/apps/status-page/traffic" },
  { name: "deployment-running", path: latest("docs") },
  { name: "deployment-failed", path: latest("catalog-search") },
  { name: "deployment-live", path: latest("orders-api") },
  { name: "projects", path: "/projects?network=default" },
  {
    name: "project-create",
    path: "/projects",
    act: async (page) => {
      await page.getByRole("button", { name: "New project" }).click();
      await page.getByLabel("Slug").fill("shop");
    },
  },
  { name: "queue", path: "/queue" },
  { name: "nodes", path: "/nodes" },
  {
    name: "add-node",
    path: "/nodes",
    act: async (page) => {
      await page.getByRole("button", { name: "Add node" }).click();
      await page.getByRole("button", { name: "Create token" }).click();
    },
  },
  { name: "node", path: "/nodes/worker-3" },
  {
    name: "node-well",
    path: "/nodes/worker-1",
    act: async (page) => {
      await page.getByRole("button", { name: "Show" }).click();
      await page.getByText("3 lines").waitFor();
      await page.evaluate(() => window.scrollTo(0, 0));
    },
  },
  {
    name: "node-clean-up",
    path: "/nodes/worker-1",
    act: async (page) => {
      await page.getByRole("button", { name: "Clean up…" }).click();
      await page.getByText("node:18-bookworm").waitFor();
    },
  },
  { name: "audit", path: "/audit" },
  { name: "settings", path: "/settings" },
  { name: "menu", path: "/", act: (page) => page.getByRole("button", { name: "Account" }).click() },
  { name: "not-found", path: "/nowhere" },
];

const browser = await launch();
let complaints = 0;
for (const colorScheme of /** @type {const} */ (["dark", "light"])) {
  for (const [size, viewport] of Object.entries({
    desktop: { width: 1360, height: 860 },
    phone: { width: 375, height: 760 },
  })) {
    const context = await browser.newContext({
      colorScheme,
      viewport,
      deviceScaleFactor: size === "phone" ? 2 : 1,
    });
    for (const shot of shots.filter(({ name }) => `${name}-${colorScheme}-${size}`.includes(filter))) {
      await context.clearCookies();
      if (!shot.signedOut) await context.addCookies([{ name: "wh_session", value: "mock", url: base }]);
      world.needsSetup = shot.name === "setup";
      const page = await context.newPage();
      page.on("console", (message) => {
        if (message.type() !== "error" || /status of 40[14]/.test(message.text())) return;
        complaints += 1;
        console.log(`# ${shot.name}: ${message.text()}`);
      });
      page.on("pageerror", (error) => {
        complaints += 1;
        console.log(`# ${shot.name}: ${error.message}`);
      });
      await page.goto(base + shot.path);
      await page.waitForTimeout(700);
      await shot.act?.(page);
      await page.waitForTimeout(350);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (overflow > 0) {
        complaints += 1;
        console.log(`# ${shot.name} (${size}): the page is ${overflow} px wider than the screen`);
      }
      await page.screenshot({ path: `${folder}/${shot.name}-${colorScheme}-${size}.png` });
      await page.close();
    }
    await context.close();
  }
}
await browser.close();
server.closeAllConnections();
server.close();
console.log(`${complaints} complaints`);
process.exit(complaints > 0 ? 1 : 0);
