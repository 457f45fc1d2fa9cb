const RESERVED = new Set(["www", "api", "admin", "mail"]);

/** Why `slug` cannot be an app's name, or nothing. The control plane has the last word. */
export function slugProblem(slug: string): string | undefined {
  if (slug === "") return "A name is needed.";
  if (slug.length > 40) return "At most 40 characters.";
  if (/[A-Z]/.test(slug)) return "Lower case only.";
  const odd = /[^a-z0-9-]/.exec(slug)?.[0];
  if (odd) return `Letters, digits and hyphens only, not “${odd === " " ? "space" : odd}”.`;
  if (!/^[a-z]/.test(slug)) return "Starts with a letter.";
  if (slug.includes("--")) return "No two hyphens in a row.";
  if (slug.endsWith("-")) return "Does not end with a hyphen.";
  if (RESERVED.has(slug)) return `“${slug}” is reserved.`;
  return undefined;
}
