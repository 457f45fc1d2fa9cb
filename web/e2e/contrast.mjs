// Measures the contrast of all texts on the main pages, in both themes, against WCAG AA (4.5, large text 3).
import { launch } from "./browser.mjs";
import { startMock } from "./mock.mjs";

const { server, world } = startMock();
await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
const address = server.address();
const base = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
const failed = `/apps/catalog-search/deployments/${world.app("catalog-search")?.deployment?.id}`;
const pages = [
  "/",
  "/apps",
  "/apps/new",
  "/apps/shop",
  "/apps/shop/logs",
  "/apps/shop/environment",
  "/apps/shop/traffic",
  failed,
  "/projects?network=default",
  "/nodes",
  "/settings",
  "/doctor",
  "/certificates",
];

/** Runs in the page: texts that are too faint for what is behind them. */
function measure() {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("no canvas");
  /** @param {string[]} layers painted over each other, lowest first */
  const paint = (layers) => {
    context.clearRect(0, 0, 1, 1);
    for (const layer of layers) {
      context.fillStyle = layer;
      context.fillRect(0, 0, 1, 1);
    }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  /** @param {number[]} rgb */
  const luminance = (rgb) => {
    const [r = 0, g = 0, b = 0] = rgb.map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (
      !element ||
      !node.textContent?.trim() ||
      !element.checkVisibility() ||
      element.closest(".visually-hidden, .skip, select")
    )
      continue;
    const style = getComputedStyle(element);
    const behind = [];
    for (let at = /** @type {Element | null} */ (element); at; at = at.parentElement)
      behind.unshift(getComputedStyle(at).backgroundColor);
    const back = luminance(paint(behind));
    const front = luminance(paint([...behind, style.color]));
    const ratio = (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
    const large = Number.parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5))
      found.set(
        element.className || element.tagName,
        `${ratio.toFixed(2)} “${node.textContent.trim().slice(0, 40)}” (${element.tagName.toLowerCase()}.${element.className})`,
      );
  }
  return [...found.values()];
}

const browser = await launch();
let failures = 0;
for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
  const context = await browser.newContext({ colorScheme, reducedMotion: "reduce" });
  await context.addCookies([{ name: "wh_session", value: "mock", url: base }]);
  const page = await context.newPage();
  for (const path of pages) {
    await page.goto(base + path);
    await page.waitForTimeout(500);
    for (const text of await page.evaluate(measure)) {
      failures += 1;
      console.log(`${colorScheme} ${path}: ${text}`);
    }
  }
}
await browser.close();
server.closeAllConnections();
server.close();
console.log(`${failures} texts below AA`);
process.exit(failures > 0 ? 1 : 0);
