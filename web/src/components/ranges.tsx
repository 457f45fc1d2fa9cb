import { RANGES, type Range } from "@/lib/chart";

/** For how long back: one of a few. */
export function Ranges({ range, onRange }: { range: Range; onRange: (range: Range) => void }) {
  return (
    <fieldset className="segmented" aria-label="Time">
      {RANGES.map((name) => (
        <button key={name} type="button" aria-pressed={name === range} onClick={() => onRange(name)}>
          {name.replace(/(\D)$/, " $1")}
        </button>
      ))}
    </fieldset>
  );
}
