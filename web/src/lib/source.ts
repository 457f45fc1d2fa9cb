import type { Source } from "@/api/types";

/** One line that tells a source from others. */
export function describeSource(source: Source | null | undefined): string {
  if (!source) return "same source";
  switch (source.type) {
    case "archive":
      return `archive ${source.archive_id.slice(-8)}`;
    case "git":
      return `${source.url.replace(/^https?:\/\//, "").replace(/\.git$/, "")} @ ${source.ref}`;
    case "image":
      return source.reference;
  }
}

export const shortCommit = (commit: string) => commit.slice(0, 8);
