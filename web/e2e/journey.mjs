// The first hour of a new installation, in a real browser: first run → sign in → new app → watch it deploy → open it
// → see its log.
//
//   BASE_URL       the dashboard; without it a mock server is started
//   SETUP_CODE     from `wisehosting-control-plane admin setup-code`; without it an account must exist
//   EMAIL PASSWORD the account (made when SETUP_CODE is set)
//   HELLO_ARCHIVE  a .tar.gz with a Containerfile; without it a small one is made
//   APP_SLUG       default hello-<time>
//   APP_HTTPS      rule for --host-resolver-rules, e.g. "MAP *.route.wise.test 198.51.100.40"
//   SHOTS          folder for a picture of each step
//   DEPLOY_SECONDS how long the deployment may take, default 180
import assert from "node:assert/strict";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { launch } from "./browser.mjs";
import { SETUP_CODE, startMock } from "./mock.mjs";

const env = process.env;
const slug = env.APP_SLUG ?? `hello-${Date.now().toString(36)}`;
const email = env.EMAIL ?? "admin@example.com";
const password = env.PASSWORD ?? "a long enough password";
const seconds = Number(env.DEPLOY_SECONDS ?? 180);
const mocked = !env.BASE_URL;

/** @type {import("playwright-core").Browser} */
let browser;
/** @type {import("playwright-core").Page} */
let page;
/** @type {import("node:http").Server | undefined} */
let mock;
let base = env.BASE_URL?.replace(/\/$/, "") ?? "";
let code = env.SETUP_CODE;
let taken = 0;
/** @type {string[]} */
const complaints = [];

/** @param {string} name */
async function shot(name) {
  if (!env.SHOTS) return;
  taken += 1;
  await page.screenshot({ path: join(env.SHOTS, `${String(taken).padStart(2, "0")}-${name}.png`) });
}

before(async () => {
  if (mocked) {
    const started = startMock({ firstRun: true, stageMs: 500 });
    mock = started.server;
    await new Promise((resolve) => started.server.listen(0, "127.0.0.1", () => resolve(undefined)));
    const address = started.server.address();
    base = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
    code = SETUP_CODE;
  }
  if (env.SHOTS) await mkdir(env.SHOTS, { recursive: true });
  browser = await launch(env.APP_HTTPS ? [`--host-resolver-rules=${env.APP_HTTPS}`] : []);
  const context = await browser.newContext({
    ignoreHTTPSErrors: true,
    viewport: { width: 1360, height: 860 },
  });
  page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    if (/Content Security Policy/.test(message.text())) complaints.push(message.text());
  });
});

after(async () => {
  await browser?.close();
  mock?.closeAllConnections();
  mock?.close();
});

/** Later steps make no sense after a failed one. */
let broken = false;
/** @param {string} name @param {() => Promise<void>} run */
function step(name, run) {
  test(name, async (context) => {
    if (broken) return context.skip("an earlier step failed");
    try {
      await run();
    } catch (error) {
      broken = true;
      await shot("failed").catch(() => {});
      const seen = await page
        .locator("main")
        .innerText({ timeout: 1_000 })
        .catch(() => "nothing");
      throw new Error(
        `${name}: ${error instanceof Error ? error.message : error}\n--- ${page.url()} showed:\n${seen.slice(0, 1500)}`,
      );
    }
  });
}

step("the first run makes the administrator and closes itself", async () => {
  if (!code) return;
  await page.goto(`${base}/setup#code=${code}`);
  await page.getByLabel("Your name").fill("Admin");
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByLabel("Organization").fill("Example");
  await shot("first-run");
  await page.getByRole("button", { name: "Create account" }).click();
  await page.getByRole("heading", { name: "Example" }).waitFor();
  await shot("overview");
  await page.goto(`${base}/setup`);
  await page.getByText("Setup is finished").waitFor();
  await shot("setup-closed");
});

step("a session can be ended and begun again, with the way back", async () => {
  await page.context().clearCookies();
  await page.goto(`${base}/apps/new`);
  await page.waitForURL(/\/login\?to=/);
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(password);
  await shot("login");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(`${base}/apps/new`);
});

step("a new app is made from an archive", async () => {
  await page.getByLabel("Name").fill(slug);
  await page.locator("input[type=file]").setInputFiles(env.HELLO_ARCHIVE ?? (await makeArchive()));
  await shot("new-app");
  await page.getByRole("button", { name: "Create and deploy" }).click();
  await page.waitForURL(new RegExp(`/apps/${slug}/deployments/`));
});

step("its deployment passes through its stages while its log is read", async () => {
  await page.getByRole("heading", { name: /Deployment #1/ }).waitFor();
  await page
    .locator(".log-line")
    .first()
    .waitFor({ timeout: seconds * 1000 });
  await shot("deploying");
  const live = page.getByText(`${slug} is live`);
  const failure = page.getByRole("region", { name: "Failure" });
  await live
    .or(failure)
    .first()
    .waitFor({ timeout: seconds * 1000 });
  if (await failure.isVisible()) throw new Error(`the deployment failed:\n${await failure.innerText()}`);
  await shot("live");
  assert.equal(await page.locator(".stage.failed").count(), 0, "no stage failed");
});

step("the app answers at its address", async () => {
  const href = await page.getByRole("link", { name: "Open" }).getAttribute("href");
  assert.ok(href?.includes(slug), `the link leads to the app, not to ${href}`);
  const address = href ?? "";
  if (mocked) return;
  const tab = await page.context().newPage();
  const answer = await retry(() => tab.goto(address), 30);
  assert.equal(answer?.status(), 200, `${href} answers`);
  if (env.SHOTS) await tab.screenshot({ path: join(env.SHOTS, "app.png") });
  await tab.close();
});

step("the app's page shows a healthy instance with evidence", async () => {
  await page.getByRole("link", { name: "To the app" }).click();
  await page
    .getByRole("cell", { name: /Healthy/ })
    .first()
    .waitFor();
  await shot("app");
});

step("the app's log is live", async () => {
  await page.getByRole("navigation", { name: "App" }).getByRole("link", { name: "Logs" }).click();
  await page.locator(".log-line").first().waitFor({ timeout: 30_000 });
  await shot("log");
});

step("a variable is set for later and waits for the next deployment", async () => {
  await page.getByRole("navigation", { name: "App" }).getByRole("link", { name: "Environment" }).click();
  await page.getByRole("button", { name: "Add variables" }).click();
  await page.getByLabel("Name").fill("GREETING");
  await page.getByLabel("Value").fill("hello");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("button", { name: "Deploy now" }).waitFor();
  await shot("environment");
});

step("the nodes are online", async () => {
  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: /Nodes/ }).click();
  await page
    .getByRole("cell", { name: /Online/ })
    .first()
    .waitFor();
  await shot("nodes");
});

step("nothing broke in the browser and the content security policy was kept", async () => {
  assert.deepEqual(complaints, []);
});

/** @template T @param {() => Promise<T>} run @param {number} times @returns {Promise<T>} */
async function retry(run, times) {
  try {
    return await run();
  } catch (error) {
    if (times <= 1) throw error;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    return retry(run, times - 1);
  }
}

/** A gzipped tar with one file, for the mock. */
async function makeArchive() {
  const content = Buffer.from("FROM scratch\n");
  const header = Buffer.alloc(512);
  header.write("Containerfile", 0);
  header.write("0000644\0", 100);
  header.write("0000000\0", 108);
  header.write("0000000\0", 116);
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124);
  header.write("00000000000\0", 136);
  header.write("        0", 148);
  header.write("ustar\x0000", 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const tar = Buffer.concat([header, content, Buffer.alloc(512 - content.length), Buffer.alloc(1024)]);
  const file = join(await mkdtemp(join(tmpdir(), "hello-")), "hello.tar.gz");
  await writeFile(file, gzipSync(tar));
  return file;
}
