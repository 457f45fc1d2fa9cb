import { day, timeOfDay } from "./time";

/** For how long back something is shown. */
export const RANGES = ["1h", "6h", "24h", "7d", "30d"] as const;
export type Range = (typeof RANGES)[number];

/** More than a range has; what an answer says beyond it is not drawn. */
const MOST_SLOTS = 2_000;

/** What was told of a time: points, of which steps without any are left out. */
interface Told<Point> {
  from: string;
  until: string;
  step_s: number;
  points: Point[];
}

/** A range in steps of one length, also those without a point. */
export interface Slots<Point = unknown> {
  /** Where each begins, ms. */
  starts: number[];
  points: (Point | undefined)[];
  stepMs: number;
}

export function slotsOf<Point extends { at: string }>({
  from,
  until,
  step_s,
  points,
}: Told<Point>): Slots<Point> {
  const stepMs = Math.max(1, step_s) * 1000;
  const first = Math.floor(Date.parse(from) / stepMs) * stepMs;
  const length = Math.ceil((Date.parse(until) - first) / stepMs);
  const starts = Array.from(
    { length: Math.min(Math.max(1, length), MOST_SLOTS) },
    (_, slot) => first + slot * stepMs,
  );
  const filled: Slots<Point>["points"] = starts.map(() => undefined);
  for (const point of points) {
    const slot = Math.floor((Date.parse(point.at) - first) / stepMs);
    if (slot >= 0 && slot < filled.length) filled[slot] = point;
  }
  return { starts, points: filled, stepMs };
}

/** The upper end of an axis, of which the half is round too; of bytes a power of two, which is round in KiB and MiB. */
export function topOf(highest: number, of: "number" | "bytes" = "number"): number {
  if (highest <= 0) return 1;
  if (of === "bytes") return Math.max(2, 2 ** Math.ceil(Math.log2(highest)));
  const power = 10 ** (Math.ceil(Math.log10(highest)) - 1);
  return ([1.2, 1.6, 2, 4, 6, 8].find((times) => times * power >= highest) ?? 10) * power;
}

/** Height of a drawing; its width is one for each slot. */
export const HEIGHT = 100;
/** What is there but small is seen all the same. */
const LEAST = 1.2;

const figure = (value: number) => Number(value.toFixed(2));

/** One path for each series, stacked from the first at the bottom. */
export function stacks(series: number[][], top: number): string[] {
  const slots = series[0]?.length ?? 0;
  const ground = new Array<number>(slots).fill(HEIGHT);
  // Among many there is no room for gaps.
  const gap = slots > 120 ? 0 : 0.1;
  return series.map((values) => {
    let path = "";
    values.forEach((value, slot) => {
      if (value <= 0) return;
      const height = Math.max(LEAST, (value / top) * HEIGHT);
      const below = ground[slot] ?? HEIGHT;
      ground[slot] = below - height;
      path += `M${figure(slot + gap)} ${figure(below)}h${1 - 2 * gap}v${-figure(height)}h${2 * gap - 1}z`;
    });
    return path;
  });
}

/** A line that is level in each slot and has gaps where nothing is known. */
export function stepLine(values: (number | null | undefined)[], top: number): string {
  let path = "";
  let drawing = false;
  values.forEach((value, slot) => {
    if (value == null) {
      drawing = false;
      return;
    }
    const y = figure(HEIGHT - Math.min(1, value / top) * HEIGHT);
    path += `${drawing ? `V${y}` : `M${slot} ${y}`}H${slot + 1}`;
    drawing = true;
  });
  return path;
}

/** A moment of the range, as exact as its steps. */
export function momentOf(at: number, stepMs: number): string {
  if (stepMs >= 86_400_000) return day(at);
  return stepMs < 900_000 ? timeOfDay(at) : `${day(at)}, ${timeOfDay(at)}`;
}

/** Evenly spread labels of the time axis, from its beginning to its end. */
export function ticksOf({ starts, stepMs }: Slots): string[] {
  const first = starts[0] ?? 0;
  const length = starts.length * stepMs;
  const format = length > 26 * 3_600_000 ? day : timeOfDay;
  return [0, 1, 2, 3, 4].map((part) => format(first + (length * part) / 4));
}

/** `1 min`, `5 min`, `1 h`, `1 d`. */
export function stepName(stepMs: number): string {
  const minutes = stepMs / 60_000;
  if (minutes < 60) return `${figure(minutes)} min`;
  return minutes < 1_440 ? `${figure(minutes / 60)} h` : `${figure(minutes / 1_440)} d`;
}

export const rangeName: Record<Range, string> = {
  "1h": "hour",
  "6h": "6 hours",
  "24h": "24 hours",
  "7d": "7 days",
  "30d": "30 days",
};
