import { useSyncExternalStore } from "react";
import { duration, exact, relative } from "@/lib/time";

let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;
const listeners = new Set<() => void>();

/** One clock for all ages on the page; it stands still while the tab is hidden. */
function subscribe(listener: () => void) {
  // The clock stood still while nobody looked at it.
  if (listeners.size === 0) now = Date.now();
  listeners.add(listener);
  timer ??= setInterval(tick, 1_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

function tick() {
  if (document.hidden) return;
  now = Date.now();
  for (const listener of listeners) listener();
}

export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}

/** Relative, with the exact time as a tooltip. */
export function Time({ at }: { at: string }) {
  const instant = useNow();
  return (
    <time dateTime={at} title={exact(at)} className="num nowrap">
      {relative(at, instant)}
    </time>
  );
}

/** Time between two moments, counting on while `to` is absent. */
export function Elapsed({ from, to }: { from: string; to?: string | null | undefined }) {
  const instant = useNow();
  const end = to ? Date.parse(to) : instant;
  return <span className="num nowrap">{duration(end - Date.parse(from))}</span>;
}
