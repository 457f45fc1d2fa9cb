/** Why `name` cannot be a variable's name, or nothing. */
export function nameProblem(name: string): string | undefined {
  if (name === "") return "A name is needed.";
  if (!/^[A-Za-z_]/.test(name)) return "Starts with a letter or an underscore.";
  if (!/^\w+$/.test(name)) return "Letters, digits and underscores only.";
  if (name.startsWith("WISEHOSTING_")) return "Names that begin with WISEHOSTING_ are for the platform.";
  return undefined;
}

/** Reads what `.env` files hold, for pasting several lines at once. Nothing when `text` is no such file. */
export function parseEnvFile(text: string): Record<string, string> | undefined {
  const found: Record<string, string> = {};
  for (const raw of text.split(/\r?\n/)) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const match = /^(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)$/.exec(line);
    if (!match?.[1]) return undefined;
    found[match[1]] = unquote(match[2] ?? "");
  }
  return Object.keys(found).length > 0 ? found : undefined;
}

function unquote(value: string): string {
  const single = /^'([^']*)'/.exec(value)?.[1];
  if (single !== undefined) return single;
  const double = /^"((?:[^"\\]|\\.)*)"/.exec(value)?.[1];
  if (double !== undefined) return double.replace(/\\n/g, "\n").replace(/\\(.)/g, "$1");
  return value.replace(/\s+#.*$/, "");
}
