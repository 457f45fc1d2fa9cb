// Fails when the first load (the page, its entry script, its style and the font of the text) is above the budget.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const BUDGET = 300 * 1024;
const html = readFileSync("dist/index.html", "utf8");
const named = [...html.matchAll(/(?:src|href)="\/([^"]+)"/g)].map((match) => match[1] ?? "");
const fonts = readdirSync("dist/assets")
  .filter((name) => /latin-wght/.test(name))
  .map((name) => join("assets", name));
const total = ["index.html", ...named, ...fonts]
  .map((name) => readFileSync(join("dist", name)))
  .reduce((sum, content) => sum + Math.min(content.length, gzipSync(content).length), 0);
console.log(`first load: ${(total / 1024).toFixed(0)} KiB of ${BUDGET / 1024} KiB`);
process.exit(total > BUDGET ? 1 : 0);
