import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.tsx?$/.test(name) && !name.includes(".gen."))
    .map((name) => join(folder, name));
}

const importsOf = (file: string) =>
  [...readFileSync(file, "utf8").matchAll(/(?:from|import\()\s*"([^"]+)"/g)].map((match) => match[1] ?? "");

describe("the shape of the source", () => {
  it("has features that do not import each other", () => {
    const crossing = sources("src/features").flatMap((file) => {
      const own = file.split("/")[2];
      return importsOf(file)
        .filter((name) => name.startsWith("@/features/") || name.startsWith("../"))
        .map((name) => `${file} (${own}) imports ${name}`);
    });
    expect(crossing).toEqual([]);
  });
  it("has components, lib and api that know no feature and no page", () => {
    const upwards = ["src/components", "src/lib", "src/api"].flatMap((folder) =>
      sources(folder).flatMap((file) =>
        importsOf(file)
          .filter((name) => /^@\/(features|app)\//.test(name))
          .map((name) => `${file} imports ${name}`),
      ),
    );
    expect(upwards).toEqual([]);
  });
  it("loads nothing from elsewhere and has nothing inline that the policy forbids", () => {
    const html = readFileSync("index.html", "utf8");
    expect(html).not.toMatch(/https?:\/\//);
    expect(html).not.toMatch(/<style|\sstyle=|\son\w+=|<script>(?!<)/);
    for (const file of readdirSync("src/styles")) {
      expect(readFileSync(join("src/styles", file), "utf8"), file).not.toMatch(/url\(["']?(https?:|data:)/);
    }
  });
});
