// The first hour of a new installation, in a real browser: first run → sign in → a proxy joins → new app → watch it
// deploy → open it → see its log; variables, a rollback, then an app that fails and is mended, and the nodes.
//
// `wh-testbed with --untouched -- npm run journey` says where everything is:
//   WH_URL             the dashboard
//   WH_SETUP_CODE      for the first run
//   WH_HTTPS_PORT      the proxy's HTTPS on 127.0.0.1, for every host of the zone
//   WH_TESTBED WH_TESTBED_STATE  the test bed, with which a host joins
// The browser does not check the apps' certificates: their CA is the test bed's, unknown to it. The end-to-end tests do.
//
//   SHOTS              folder for a picture of each step, default .ci-output/shots
//   DEPLOY_SECONDS     how long a deployment may take, default 120
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { archive, shellArchive } from "./archive.mjs";
import { launch } from "./browser.mjs";

const run = promisify(execFile);
const env = process.env;
const root = fileURLToPath(new URL("../..", import.meta.url));
const shots = env.SHOTS ?? join(root, ".ci-output/shots");
const slug = "hello";
const email = "admin@example.com";
const password = "a long enough password";
const seconds = Number(env.DEPLOY_SECONDS ?? 120);

/** @type {import("playwright-core").Browser} */
let browser;
/** @type {import("playwright-core").Page} */
let page;
const base = env.WH_URL?.replace(/\/$/, "") ?? "";
const code = env.WH_SETUP_CODE;
let taken = 0;
/** A folder for archives. */
let work = "";
/** @type {string[]} */
const complaints = [];

/** @param {string} name */
async function shot(name) {
  taken += 1;
  await page.screenshot({
    path: join(shots, `${String(taken).padStart(2, "0")}-${name}.png`),
    animations: "disabled",
  });
}

before(async () => {
  assert.ok(base, "WH_URL is missing: run this beside a test bed, see the head of this file");
  await mkdir(shots, { recursive: true });
  work = await mkdtemp(join(tmpdir(), "journey-"));
  browser = await launch(
    env.WH_HTTPS_PORT ? [`--host-resolver-rules=MAP *.route.wise.test 127.0.0.1:${env.WH_HTTPS_PORT}`] : [],
  );
  const context = await browser.newContext({
    ignoreHTTPSErrors: true,
    viewport: { width: 1360, height: 860 },
  });
  page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    // The browser itself reports every answer of 4xx, also those that the dashboard expects.
    if (message.type() === "error" && !/status of 4\d\d/.test(message.text()))
      complaints.push(message.text());
  });
});

after(async () => {
  await browser?.close();
  if (work) await rm(work, { recursive: true });
});

/** Later steps make no sense after a failed one. */
let broken = false;
/** @param {string} name @param {() => Promise<void>} deed */
function step(name, deed) {
  test(name, async (context) => {
    if (broken) return context.skip("an earlier step failed");
    try {
      await deed();
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
  assert.ok(code, "WH_SETUP_CODE is missing: the journey needs an installation without an account");
  await page.goto(`${base}/setup#code=${code}`);
  await page.getByLabel("Your name").fill("Ada Okafor");
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill(password);
  await page.getByLabel("Organization").fill("Fernhill");
  await shot("first-run");
  await page.getByRole("button", { name: "Create account" }).click();
  await page.getByRole("heading", { name: "Fernhill" }).waitFor();
  await shot("first-overview");
  await page.goto(`${base}/setup`);
  await page.getByText("Setup is finished").waitFor();
});

step("a session that ended in the middle is begun again, with the way back", async () => {
  await page.goto(`${base}/apps`);
  await page.getByText("No apps yet").waitFor();
  await shot("no-apps");
  await page.context().clearCookies();
  await navigate("Nodes");
  await page.waitForURL(/\/login\?to=/);
  await page.getByLabel("E-mail").fill(email);
  await page.getByLabel("Password").fill("not the password");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").first().waitFor();
  await shot("login-refused");
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForURL(`${base}/nodes`);
});

step("a proxy joins with a token while the dialog waits for it", async () => {
  await page.getByRole("button", { name: "Add node" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel(/^Worker/).uncheck();
  await dialog.getByLabel(/^Proxy/).check();
  await dialog.getByLabel("Name").fill("proxy");
  await dialog.getByRole("button", { name: "Create token" }).click();
  const command = (await dialog.locator("pre, code").first().innerText()).trim();
  await shot("join-token");
  const token = /wh[a-z]+_[A-Za-z0-9_-]+/.exec(command)?.[0];
  assert.ok(token, `the command carries a token: ${command}`);
  await run(env.WH_TESTBED ?? "wh-testbed", [
    "--state",
    env.WH_TESTBED_STATE ?? ".dev",
    "join",
    "proxy",
    token,
  ]);
  await dialog.getByText("proxy has used the token").waitFor({ timeout: 60_000 });
  // Once it is, and no step waits any more.
  await dialog.locator(".waiting-node.in").getByText("proxy is online").waitFor({ timeout: 60_000 });
  await shot("node-joined");
  await dialog.getByRole("button", { name: "Close" }).last().click();
});

step("a new app is made from an archive", async () => {
  await page.goto(`${base}/apps/new`);
  await page.getByLabel("Name").fill(slug);
  await page
    .locator("input[type=file]")
    .setInputFiles(await archive(work, slug, join(root, "examples/hello")));
  await shot("new-app");
  await page.getByRole("button", { name: "Create and deploy" }).click();
  await page.waitForURL(new RegExp(`/apps/${slug}/deployments/`));
});

step("its deployment passes through its stages while its log is read", async () => {
  await page.getByRole("heading", { name: /Deployment #1/ }).waitFor();
  await page.locator(".log-line").first().waitFor();
  await shot("deploying");
  await live(slug);
  await shot("live");
  assert.equal(await page.locator(".stage.failed").count(), 0, "no stage failed");
  const numbers = await page.locator(".log-line .log-no").allInnerTexts();
  assert.equal(new Set(numbers).size, numbers.length, "no line is shown twice");
});

step("the app answers at its address", async () => {
  const href = await page.getByRole("link", { name: "Open" }).getAttribute("href");
  assert.ok(href?.includes(slug), `the link leads to the app, not to ${href}`);
  const address = href ?? "";
  const tab = await page.context().newPage();
  const answer = await retry(async () => {
    const answer = await tab.goto(address);
    assert.equal(answer?.status(), 200, `${address} answers`);
    return answer;
  }, 60);
  assert.equal(new URL(answer?.url() ?? "").protocol, "https:");
  await tab.screenshot({ path: join(shots, "app.png") });
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
  await tab("Logs");
  await page.locator(".log-line").first().waitFor({ timeout: 30_000 });
  await shot("log");
});

step("what the proxy served is the app's traffic within seconds, and one request is told whole", async () => {
  const address = `https://${slug}.route.wise.test`;
  const tab = await page.context().newPage();
  await tab.goto(`${address}/traffic-of-the-journey/17`);
  await tab.close();
  await page.goto(`${base}/apps/${slug}/traffic?range=1h&path=/traffic-of-the-journey`);
  const request = page.getByRole("button", { name: "GET /traffic-of-the-journey/17" }).first();
  await request.waitFor({ timeout: 15_000 });
  await page.getByRole("slider", { name: /Response time/ }).waitFor();
  await page.getByRole("button", { name: "Requests that begin with /traffic-of-the-journey/" }).waitFor();
  await shot("traffic");
  await request.click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText(`${address}/traffic-of-the-journey/17`).waitFor();
  await dialog.getByRole("link", { name: "proxy", exact: true }).waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
});

step("a shell in an instance is a terminal of the page", async () => {
  await tab("Terminal");
  await page.getByRole("button", { name: "Connect" }).click();
  await page.getByText("Connected", { exact: true }).waitFor();
  await page.keyboard.type("echo terminal $((6 * 7)); stty size\n");
  const rows = page.locator(".xterm-rows");
  await retry(async () => assert.match(await rows.innerText(), /terminal 42\s+\d+ \d+/), 20);
  const height = await rows
    .locator("div")
    .first()
    .evaluate((row) => row.getBoundingClientRect().height);
  assert.ok(height > 10, "its styles are there, under the policy");
  await shot("terminal");
  await page.keyboard.type("exit 3\n");
  await page.getByText("The shell ended with exit code 3").waitFor();
});

step("a variable waits until it is applied with one click", async () => {
  await tab("Environment");
  await page.getByRole("button", { name: "Add variables" }).click();
  await page.getByRole("textbox", { name: "Name" }).fill("GREETING");
  await page.getByRole("textbox", { name: "Value" }).fill("hello");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("variable GREETING").waitFor();
  await shot("environment-pending");
  await page.getByRole("button", { name: "Apply", exact: true }).click();
  await page.getByRole("heading", { name: /Deployment #2/ }).waitFor();
  await live(slug);
  await shot("settings-live");
});

step("a release before is live again after a rollback", async () => {
  await page.goto(`${base}/apps/${slug}/releases`);
  await page.getByRole("cell", { name: /v1/ }).first().waitFor();
  await shot("releases");
  await page.getByRole("button", { name: "Compare v1" }).click();
  await page.getByRole("dialog").getByText("variable GREETING").waitFor();
  await shot("compare");
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();
  await page
    .getByRole("button", { name: /Roll back/ })
    .last()
    .click();
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  await shot("rollback");
  await dialog.getByRole("button", { name: /Roll back/ }).click();
  await page.getByRole("heading", { name: /Deployment #3/ }).waitFor();
  await live(slug);
  await page.goto(`${base}/apps/${slug}/deployments`);
  await page.getByRole("cell", { name: /Live/ }).first().waitFor();
  await shot("deployments");
});

step("a domain of one's own is shown by its record, served, and has a certificate", async () => {
  const host = "www.journey.test";
  await page.goto(`${base}/apps/${slug}/domains`);
  await page.getByRole("button", { name: "Add a domain" }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Host name").fill(host);
  await dialog.getByRole("button", { name: "Add domain" }).click();
  const record = page.getByRole("row", { name: /TXT/ });
  await record.waitFor();
  const [name, value] = await record.locator("code").allInnerTexts();
  assert.equal(name, `_wisehosting.${host}`);
  await shot("domain-records");
  await run(env.WH_TESTBED ?? "wh-testbed", [
    "--state",
    env.WH_TESTBED_STATE ?? ".dev",
    "txt",
    name,
    value ?? "",
  ]);
  await page.getByRole("button", { name: `Check ${host}` }).click();
  await page.getByText(`${host} is verified and served`).first().waitFor({ timeout: 30_000 });
  await shot("domain-verified");
  await page.goto(`${base}/certificates/${host}`);
  await page.getByText("Valid for", { exact: false }).first().waitFor({ timeout: 90_000 });
  await shot("certificate");
});

step("the doctor says what a name lacks, and that the app's own is in order", async () => {
  await page.goto(`${base}/apps/${slug}/domains`);
  await page.getByRole("button", { name: "Add a domain" }).first().click();
  await page.getByRole("dialog").getByLabel("Host name").fill("lost.journey.test");
  await page.getByRole("dialog").getByRole("button", { name: "Add domain" }).click();
  await page.getByRole("button", { name: "Check lost.journey.test" }).waitFor();
  await page.goto(`${base}/doctor?host=lost.journey.test`);
  await page.getByText("lost.journey.test does not work as it should").waitFor({ timeout: 60_000 });
  await page.getByText("_wisehosting.lost.journey.test", { exact: true }).waitFor();
  await shot("doctor-problem");
  // The test bed's authority is unknown to browsers; that is the only reservation.
  await page.getByLabel("Host name").fill(`${slug}.route.wise.test`);
  await page.getByRole("button", { name: "Examine" }).click();
  await page.getByText(`${slug}.route.wise.test works, with reservations`).waitFor({ timeout: 60_000 });
  await shot("doctor-works");
});

step("an app that ends at once shows why, and the list of apps hears of it by itself", async () => {
  const other = await page.context().newPage();
  await other.goto(`${base}/apps`);
  await other.getByRole("link", { name: slug, exact: true }).waitFor();
  await page.goto(`${base}/apps/new`);
  await page.getByLabel("Name").fill("broken");
  const last = "cannot reach the database at db:5432";
  const file = await shellArchive(
    work,
    "broken",
    `echo ready in a moment; sleep 1; echo ${last} >&2; exit 3`,
  );
  await page.locator("input[type=file]").setInputFiles(file);
  await page.getByRole("button", { name: "Create and deploy" }).click();
  const failure = page.getByRole("region", { name: "Failure" });
  await failure.waitFor({ timeout: seconds * 1000 });
  await shot("failure");
  await failure.getByText(last).waitFor();
  await other
    .getByRole("row", { name: /broken/ })
    .getByText("Failed")
    .first()
    .waitFor();
  await other.close();
});

step("it is mended and deployed again from where the failure is shown", async () => {
  await page.getByRole("link", { name: "Deploy a fix" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("heading", { name: "Deploy broken" }).waitFor();
  const file = await shellArchive(work, "mended", "mkdir -p /www; exec httpd -f -p 8080 -h /www");
  await dialog.locator("input[type=file]").setInputFiles(file);
  await dialog.getByLabel("Message").fill("Do without the database");
  await dialog.getByLabel(/Rebuild without cache/).check();
  await shot("fix");
  await dialog.getByRole("button", { name: "Deploy", exact: true }).click();
  await page.getByRole("heading", { name: /Deployment #2/ }).waitFor();
  await page.getByText("Do without the database").waitFor();
  await live("broken");
  assert.equal(await page.getByText(/Using cache/).count(), 0, "every step ran anew");
  await shot("fixed");
  await page.goto(`${base}/apps/broken/deployments`);
  const rows = page.getByRole("row");
  await rows.filter({ hasText: "Do without the database" }).getByText("Live").waitFor();
  await rows.filter({ hasText: "Failed" }).waitFor();
});

step("the way an app is built is set in its settings, and waits for the next build", async () => {
  await page.goto(`${base}/apps/broken/settings`);
  await page.getByLabel("Containerfile").fill("../Containerfile");
  await page.getByText("A path inside the source").waitFor();
  await page.getByLabel("Containerfile").fill("Containerfile");
  await page.getByLabel("Build arguments").fill("VERSION=2");
  await page.getByRole("button", { name: "Save settings" }).click();
  await page.getByText("build argument VERSION").waitFor();
  await page.getByText("This takes a new image").waitFor();
  await shot("build-settings");
});

step("the palette leads to a log by the keyboard alone", async () => {
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox", { name: /an app/i }).fill("logs hello");
  await shot("palette");
  await page.keyboard.press("Enter");
  await page.waitForURL(`${base}/apps/hello/logs`);
});

step("the first app has served all the while, whatever came and went beside it", async () => {
  for (let look = 0; look < 5; look++) {
    const app = await (await page.request.get(`${base}/api/v1/apps/${slug}`)).json();
    assert.equal(app.status, "running");
    await page.waitForTimeout(1000);
  }
});

step("the nodes are online, and each says what it is", async () => {
  await navigate("Nodes");
  await page
    .getByRole("cell", { name: /Online/ })
    .first()
    .waitFor();
  await shot("nodes");
  await page.getByRole("link", { name: "w1", exact: true }).click();
  await page.getByText("Mesh address").waitFor();
  await shot("node");
});

step("a project is made, let into another one, kept from the outside, and removed", async () => {
  await navigate("Projects");
  await page.getByRole("button", { name: "New project" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Slug").fill("default");
  await dialog.getByRole("button", { name: "Create", exact: true }).click();
  await dialog.getByText("there is a project default already").waitFor();
  await dialog.getByLabel("Slug").fill("shop");
  await dialog.getByRole("button", { name: "Create", exact: true }).click();
  await page.getByRole("link", { name: "Private network of shop" }).click();
  await page.getByRole("button", { name: "Grant access" }).click();
  await dialog.getByLabel(/shop reaches others/).check();
  await dialog.getByLabel("The other project").selectOption("default");
  await dialog.getByLabel("What may be reached").selectOption(slug);
  await dialog.getByRole("button", { name: "Grant", exact: true }).click();
  await page.getByText(`Apps of shop may reach default/${slug}, says ${email}`).waitFor();
  await page.getByText(`${slug}.default.internal`).waitFor();
  await page.getByRole("button", { name: "Change what is reached outside" }).click();
  await dialog.getByLabel(/Only there/).check();
  await dialog.getByRole("textbox", { name: "Networks" }).fill("db.example.com 5432");
  await dialog.getByRole("button", { name: "Restrict" }).click();
  await dialog.getByRole("alert").first().waitFor();
  await shot("egress-refused");
  await dialog.getByRole("textbox", { name: "Networks" }).fill("203.0.113.7 5432");
  await dialog.getByRole("button", { name: "Restrict" }).click();
  await page.getByText(/Outside of it:.*203\.0\.113\.7/).waitFor();
  await shot("projects");
  await page.getByRole("button", { name: "Remove shop" }).click();
  await dialog.getByRole("button", { name: "Remove project" }).click();
  await page.getByText("The project shop is removed").waitFor();
});

step("every page fits a phone and a desk, in the dark and in the light", async () => {
  const deployments = await page.request.get(`${base}/api/v1/apps/broken/deployments`);
  const { items } = await deployments.json();
  const failed = items.find((/** @type {{ state: string }} */ one) => one.state === "failed").id;
  const pages = {
    overview: "/",
    apps: "/apps",
    app: `/apps/${slug}`,
    "changed-app": "/apps/broken",
    failure: `/apps/broken/deployments/${failed}`,
    deployments: `/apps/${slug}/deployments`,
    releases: `/apps/${slug}/releases`,
    log: `/apps/${slug}/logs`,
    environment: `/apps/${slug}/environment`,
    activity: `/apps/${slug}/activity`,
    traffic: `/apps/${slug}/traffic?follow=off`,
    settings: `/apps/${slug}/settings`,
    new: "/apps/new",
    nodes: "/nodes",
    node: "/nodes/w1",
    network: "/network",
    projects: "/projects?network=default",
    audit: "/audit",
    account: "/settings",
  };
  const sizes = { desktop: { width: 1360, height: 860 }, phone: { width: 375, height: 812 } };
  for (const [size, viewport] of Object.entries(sizes)) {
    await page.setViewportSize(viewport);
    for (const [name, path] of Object.entries(pages)) {
      await page.goto(base + path);
      await page.locator("main h1").first().waitFor();
      await page.waitForTimeout(400);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${path} is ${wide} px too wide at ${viewport.width} px`);
      for (const colorScheme of /** @type {const} */ (["dark", "light"])) {
        await page.emulateMedia({ colorScheme });
        await page.screenshot({
          path: join(shots, `${name}-${size}-${colorScheme}.png`),
          fullPage: true,
          animations: "disabled",
        });
      }
    }
  }
});

step("nothing broke in the browser and the content security policy was kept", async () => {
  assert.deepEqual(complaints, []);
});

/** @param {string} name */
const navigate = (name) =>
  page
    .getByRole("navigation", { name: "Main" })
    .getByRole("link", { name: new RegExp(name) })
    .click();

/** @param {string} name */
const tab = (name) => page.getByRole("navigation", { name: "App" }).getByRole("link", { name }).click();

/** @param {string} app */
async function live(app) {
  const failure = page.getByRole("region", { name: "Failure" });
  await page
    .getByText(`${app} is live`)
    .or(failure)
    .first()
    .waitFor({ timeout: seconds * 1000 });
  if (await failure.isVisible()) throw new Error(`the deployment failed:\n${await failure.innerText()}`);
}

/** @template T @param {() => Promise<T>} attempt @param {number} times @returns {Promise<T>} */
async function retry(attempt, times) {
  try {
    return await attempt();
  } catch (error) {
    if (times <= 1) throw error;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    return retry(attempt, times - 1);
  }
}
