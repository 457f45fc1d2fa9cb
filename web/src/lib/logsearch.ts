import { stripAnsi } from "./ansi";

export interface Search {
  matches: (text: string) => boolean;
  /** For marking what was found; nothing when all lines match. */
  pattern: RegExp | undefined;
  error: string | undefined;
}

const ALL: Search = { matches: () => true, pattern: undefined, error: undefined };

/** Plain text ignores case; `/…/` is a regular expression. */
export function search(query: string): Search {
  if (query === "") return ALL;
  const expression = /^\/(.+)\/$/.exec(query)?.[1];
  try {
    const pattern = new RegExp(expression ?? query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
    return {
      pattern,
      error: undefined,
      matches(text) {
        pattern.lastIndex = 0;
        return pattern.test(stripAnsi(text));
      },
    };
  } catch (error) {
    return { ...ALL, error: error instanceof Error ? error.message : "Not a regular expression" };
  }
}

/** Cuts `text` at what `pattern` finds: odd pieces are the finds. */
export function cut(text: string, pattern: RegExp | undefined): string[] {
  if (!pattern) return [text];
  const pieces: string[] = [];
  let start = 0;
  for (const match of text.matchAll(pattern)) {
    if (match[0] === "") continue;
    pieces.push(text.slice(start, match.index), match[0]);
    start = match.index + match[0].length;
  }
  return [...pieces, text.slice(start)];
}
