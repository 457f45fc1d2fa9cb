import { describe, expect, it } from "vitest";
import { makeSum, makeTraffic } from "@/testing/data";
import { HEIGHT, slotsOf, stacks, stepLine, stepName, topOf } from "./chart";

describe("the steps of a range", () => {
  const range = { step_s: 60, from: "2026-11-22T10:00:30Z", until: "2026-11-22T10:04:10Z" };
  it("are all there, also those without requests, and begin where the answer's do", () => {
    const point = (at: string) => ({ at, ...makeSum({ sent_bytes: Number(at.slice(14, 16)) }) });
    const { starts, points, stepMs } = slotsOf(
      makeTraffic("1h", {
        ...range,
        points: [point("2026-11-22T10:00:00Z"), point("2026-11-22T10:03:00Z"), point("2026-11-22T12:00:00Z")],
      }),
    );
    expect(stepMs).toBe(60_000);
    expect(starts.map((at) => new Date(at).toISOString().slice(11, 19))).toEqual([
      "10:00:00",
      "10:01:00",
      "10:02:00",
      "10:03:00",
      "10:04:00",
    ]);
    expect(points.map((point) => point?.sent_bytes)).toEqual([0, undefined, undefined, 3, undefined]);
  });
  it("are bounded, whatever an answer says", () => {
    const odd = makeTraffic("1h", { ...range, until: "2036-01-01T00:00:00Z", step_s: 0, points: [] });
    expect(slotsOf(odd).starts.length).toBeLessThanOrEqual(2_000);
  });
  it("are named by their length", () => {
    expect([60_000, 300_000, 3_600_000, 86_400_000].map(stepName)).toEqual(["1 min", "5 min", "1 h", "1 d"]);
  });
});

describe("axes and drawings", () => {
  it("end at a round number that is not below the highest value", () => {
    expect([0, 1, 3, 7, 12, 51, 100, 1350].map((value) => topOf(value))).toEqual([
      1, 1, 4, 8, 12, 60, 100, 1600,
    ]);
    expect([0.3, 1500, 1_000_000].map((value) => topOf(value, "bytes"))).toEqual([2, 2048, 1_048_576]);
  });
  it("stack each series on those before it", () => {
    const [errors, rest] = stacks([[5], [20]], 50);
    expect(errors).toBe(`M0.1 ${HEIGHT}h0.8v-10h-0.8z`);
    expect(rest).toBe("M0.1 90h0.8v-40h-0.8z");
  });
  it("show one error among a million", () => {
    expect(stacks([[1], [999_999]], 1_000_000)[0]).toMatch(/v-1\.2h/);
  });
  it("leave gaps in lines where nothing is known", () => {
    expect(stepLine([10, 5, null, 10], 10)).toBe("M0 0H1V50H2M3 0H4");
  });
});
