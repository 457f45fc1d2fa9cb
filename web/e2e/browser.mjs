import { chromium } from "playwright-core";

/** @param {string[]} [extra] arguments for the browser, such as a resolver rule */
export function launch(extra = []) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", ...extra],
  });
}
