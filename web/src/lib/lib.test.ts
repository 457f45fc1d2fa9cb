import { describe, expect, it } from "vitest";
import { parseAnsi, stripAnsi } from "./ansi";
import { bytes } from "./bytes";
import { cli, quote } from "./cli";
import { cut, search } from "./logsearch";
import { count, share } from "./number";
import { slugProblem } from "./slug";
import { age, duration, relative, took } from "./time";

describe("ansi", () => {
  it("turns colours into classes and ends them at a reset", () => {
    expect(parseAnsi("a\u001b[1;31mb\u001b[0mc")).toEqual([
      { text: "a", className: "" },
      { text: "b", className: "ansi-red ansi-bold" },
      { text: "c", className: "" },
    ]);
  });
  it("knows bright, palette and background colours", () => {
    const classes = parseAnsi("\u001b[92mx\u001b[38;5;9my\u001b[0;44mz").map((segment) => segment.className);
    expect(classes).toEqual(["ansi-bright-green", "ansi-bright-red", "ansi-bg-blue"]);
  });
  it("drops what is no colour and keeps what a progress bar said last", () => {
    expect(stripAnsi("\u001b[2K\u001b]0;title\u0007 10 %\r 90 %\r")).toBe(" 90 %");
    expect(parseAnsi("\u001b[2Kdone")).toEqual([{ text: "done", className: "" }]);
  });
});

describe("log search", () => {
  it("finds plain text whatever its case, and not through colours", () => {
    expect(search("ERR").matches("\u001b[31merr\u001b[0mor")).toBe(true);
    expect(search("a.c").matches("abc")).toBe(false);
  });
  it("takes a regular expression between slashes and says when it is none", () => {
    expect(search("/^a.c$/").matches("abc")).toBe(true);
    expect(search("/(/").error).toMatch(/regular expression/i);
  });
  it("cuts a text at its finds", () => {
    expect(cut("one two one", /one/g)).toEqual(["", "one", " two ", "one", ""]);
  });
});

describe("slug", () => {
  it.each(["hello", "a", "a-1", "a".repeat(40)])("takes %s", (slug) =>
    expect(slugProblem(slug)).toBeUndefined(),
  );
  it.each(["", "1a", "-a", "a-", "a--b", "A", "a_b", "a b", "www", "a".repeat(41)])("refuses “%s”", (slug) =>
    expect(slugProblem(slug)).toBeTypeOf("string"),
  );
});

describe("time", () => {
  it("says ages in one unit", () => {
    expect([4_000, 200_000, 7_300_000, 400_000_000].map(age)).toEqual(["4 s", "3 min", "2 h", "4 d"]);
  });
  it("tells past and future apart", () => {
    const now = Date.parse("2026-01-01T00:00:00Z");
    expect(relative("2025-12-31T23:59:56Z", now)).toBe("4 s ago");
    expect(relative("2026-01-01T01:00:00Z", now)).toBe("in 1 h");
  });
  it("measures stages exactly enough to compare them", () => {
    expect([840, 9_949, 9_960, 65_000, 7_380_000].map(duration)).toEqual([
      "0.8 s",
      "9.9 s",
      "10 s",
      "1 min 05 s",
      "2 h 03 min",
    ]);
  });
});

describe("times and numbers of requests", () => {
  it("have the unit in which they are short", () => {
    expect([0.04, 9.94, 9.96, 412.4, 999.7, 3_012].map(took)).toEqual([
      "0.0 ms",
      "9.9 ms",
      "10 ms",
      "412 ms",
      "1.0 s",
      "3.0 s",
    ]);
    expect([0, 999, 9_999, 12_345, 4_000_000].map(count)).toEqual(["0", "999", "9,999", "12.3K", "4M"]);
  });
  it("never show some as none, nor most as all", () => {
    const shares = [0, 1, 40, 12_000, 99_999, 100_000].map((part) => share(part, 100_000));
    expect(shares).toEqual(["0 %", "< 0.1 %", "< 0.1 %", "12 %", "> 99.9 %", "100 %"]);
    expect(share(0, 0)).toBe("0 %");
  });
});

describe("words for people", () => {
  it("says sizes in binary units", () =>
    expect([512, 1536, 104_857_600].map(bytes)).toEqual(["512 B", "1.5 KiB", "100 MiB"]));
  it("quotes what a shell would take apart", () => {
    expect(quote("it's")).toBe(`'it'\\''s'`);
    expect(cli.deploy("a", { type: "git", url: "https://x/y.git", ref: "a b" })).toBe(
      "wh deploy --app a --git https://x/y.git --ref 'a b'",
    );
    expect(cli.deploy("a", { type: "git", url: "git@x:y", ref: "main", submodules: true, lfs: true })).toBe(
      "wh deploy --app a --git git@x:y --ref main --submodules --lfs",
    );
    expect(cli.deploy("a", undefined, { message: "with tax", noCache: true })).toBe(
      "wh deploy --app a --no-cache -m 'with tax' .",
    );
  });
});
