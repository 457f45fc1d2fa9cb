import { type PointerEvent, useId } from "react";
import { HEIGHT, momentOf, type Slots, ticksOf } from "@/lib/chart";

export interface Series {
  name: string;
  /** The class of its colour, and of its dashes when it is a line. */
  look: string;
  /** An SVG path: one unit for each slot to the right, `HEIGHT` units high. */
  path: string;
  /** What it was in the whole range. */
  whole: string;
  /** What it was in a slot. */
  at: (slot: number) => string;
}

interface Props {
  title: string;
  slots: Slots;
  kind: "bars" | "lines";
  /** Drawn in this order; the legend has the last on top, as the stack does. */
  series: Series[];
  /** Of the axis, from the top. */
  scale: [string, string, string];
  /** The slot that is looked at, in all charts at once. */
  cursor: number | undefined;
  onCursor: (slot: number | undefined) => void;
}

/**
 * A chart whose legend says the numbers: of the range, or of the step under the pointer. The pointer's place is a slider,
 * which the keyboard moves and screen readers read out.
 */
export function Chart({ title, slots, kind, series, scale, cursor, onCursor }: Props) {
  const id = useId();
  const last = slots.starts.length - 1;
  const legend = [...series].reverse();
  const moment = (slot: number) => momentOf(slots.starts[slot] ?? 0, slots.stepMs);
  const point = (event: PointerEvent<HTMLInputElement>) => {
    const { left, width } = event.currentTarget.getBoundingClientRect();
    const slot = Math.floor(((event.clientX - left) / width) * slots.starts.length);
    onCursor(Math.min(last, Math.max(0, slot)));
  };
  const reading = (slot: number) =>
    `${moment(slot)}: ${legend.map(({ name, at }) => `${name} ${at(slot)}`).join(", ")}`;
  return (
    <figure className="chart" aria-labelledby={id}>
      <figcaption>
        <h3 id={id}>{title}</h3>
        <span className="small faint num">{cursor === undefined ? "" : moment(cursor)}</span>
        <ul className="chart-legend">
          {legend.map(({ name, look, whole, at }) => (
            <li key={name}>
              <svg className={kind} viewBox="0 0 14 10" aria-hidden="true">
                <path className={look} d={kind === "lines" ? "M0 5H14" : "M1 0h12v10H1z"} />
              </svg>
              {name} <b className="num">{cursor === undefined ? whole : at(cursor)}</b>
            </li>
          ))}
        </ul>
      </figcaption>
      <div className="chart-scale" aria-hidden="true">
        {scale.map((label, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: places on an axis
          <span key={index}>{label}</span>
        ))}
      </div>
      <div className="chart-plot">
        <svg
          className={kind}
          viewBox={`0 0 ${slots.starts.length} ${HEIGHT}`}
          preserveAspectRatio="none"
          aria-hidden="true"
        >
          <path
            className="chart-grid"
            d={[0, HEIGHT / 2, HEIGHT].map((y) => `M0 ${y}H${last + 1}`).join("")}
          />
          {cursor !== undefined && <path className="chart-at" d={`M${cursor} 0h1v${HEIGHT}h-1z`} />}
          {series.map(({ name, look, path }) => (
            <path key={name} className={look} d={path} />
          ))}
        </svg>
        <input
          type="range"
          min={0}
          max={last}
          value={cursor ?? last}
          aria-label={`A moment of ${title}`}
          aria-valuetext={reading(cursor ?? last)}
          onChange={({ target }) => onCursor(Number(target.value))}
          onPointerMove={point}
          onPointerLeave={() => onCursor(undefined)}
          onBlur={() => onCursor(undefined)}
        />
      </div>
      <div className="chart-ticks" aria-hidden="true">
        {ticksOf(slots).map((tick, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: places on an axis
          <span key={index}>{tick}</span>
        ))}
      </div>
    </figure>
  );
}
