import { FILTERS, type FilterName, type Filters } from "@/api/traffic";

/** From the page's address, where they have the API's names. */
export function filtersOf(query: URLSearchParams): Filters {
  const found = FILTERS.map((name) => [name, query.get(name)?.trim()] as const);
  return Object.fromEntries(found.filter(([, value]) => value));
}

/** The page's address with these filters in place of those that it has. */
export function withFilters(query: URLSearchParams, filters: Filters): URLSearchParams {
  const next = new URLSearchParams(query);
  for (const name of FILTERS) {
    const value = filters[name]?.trim();
    if (value) next.set(name, value);
    else next.delete(name);
  }
  return next;
}

/** What cannot be asked for, said before it is. */
export function problemsOf(filters: Filters): Filters {
  const problems: Filters = {};
  if (filters.status && !/^[1-5](xx|\d\d)$/.test(filters.status))
    problems.status = "A class such as 5xx, or a code such as 404";
  if (filters.path && !filters.path.startsWith("/")) problems.path = "Begins with /";
  if (filters.slower_than_ms && !/^\d{1,9}(\.\d+)?$/.test(filters.slower_than_ms))
    problems.slower_than_ms = "A number of ms";
  return problems;
}

/** What all paths of a counted one begin with; of `/` that is every path. */
export function prefixOf(path: string): string {
  return path.split("*")[0] || "/";
}

export function same(one: Filters, other: Filters): boolean {
  return FILTERS.every((name) => (one[name] ?? "").trim() === (other[name] ?? "").trim());
}

export function isFilter(name: string | undefined): name is FilterName {
  return (FILTERS as readonly string[]).includes(name ?? "");
}
