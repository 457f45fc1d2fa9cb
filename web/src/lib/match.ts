/**
 * The items whose text has all words of `query`, in any order: those that begin with it first, then those with a word
 * that does, otherwise as they came.
 */
export function matchesOf<T>(items: T[], query: string, textOf: (item: T) => string): T[] {
  const wanted = query.toLowerCase().split(/\s+/).filter(Boolean);
  const first = wanted[0];
  if (first === undefined) return items;
  const rank = (item: T) => {
    const text = textOf(item).toLowerCase();
    if (!wanted.every((word) => text.includes(word))) return undefined;
    if (text.startsWith(first)) return 0;
    return text.split(/[\s-]+/).some((word) => word.startsWith(first)) ? 1 : 2;
  };
  return items
    .flatMap((item) => {
      const value = rank(item);
      return value === undefined ? [] : [{ item, value }];
    })
    .sort((one, other) => one.value - other.value)
    .map(({ item }) => item);
}
