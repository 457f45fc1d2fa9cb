import { useEffect, useRef, useState } from "react";

/** Lines kept per log in the browser. */
export const MOST_LINES = 50_000;

/**
 * A growing list whose additions are gathered until the next frame: a build may say thousands of lines a second.
 * Additions with an id that is not beyond the last one are repeats after a reconnect and are left out.
 */
export function useLineBuffer<T>(isAfter: (line: T, last: T) => boolean) {
  const [lines, setLines] = useState<T[]>([]);
  const waiting = useRef<T[]>([]);
  const last = useRef<T>(undefined);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);

  const flush = () => {
    timer.current = undefined;
    const added = waiting.current;
    waiting.current = [];
    setLines((all) => [...all, ...added].slice(-MOST_LINES));
  };
  const add = (line: T) => {
    if (last.current !== undefined && !isAfter(line, last.current)) return;
    last.current = line;
    waiting.current.push(line);
    timer.current ??= setTimeout(flush, 50);
  };
  const clear = () => {
    clearTimeout(timer.current);
    timer.current = undefined;
    waiting.current = [];
    last.current = undefined;
    setLines([]);
  };
  return { lines, last, add, clear };
}
