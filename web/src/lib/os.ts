import type { OperatingSystem } from "@/api/types";

/** Without the code name, which stands in brackets. */
export const shortName = (os: OperatingSystem) => os.name.split(" (")[0];

/** The system generation of NixOS, and the one that the next boot starts when it is another. */
export function generation({ generation: now, boot_generation: boot }: OperatingSystem): string | undefined {
  const next = boot && boot !== now ? `, ${boot} at the next boot` : "";
  if (now) return `generation ${now}${next}`;
  return next && `no generation${next}`;
}

const DAY_MS = 86_400_000;

/** `new today`, `1 day old`, `6 days old`. */
export function packageAge(at: string, now: number): string {
  const days = Math.floor((now - Date.parse(at)) / DAY_MS);
  if (days < 1) return "new today";
  return days === 1 ? "1 day old" : `${days} days old`;
}
