import type { Mesh, MeshLink } from "@/api/mesh";
import type { StatusView } from "@/lib/status";
import { age, took } from "@/lib/time";

/** Percent of lost probes from which a link is worth a look. */
const LOSSY = 5;

export function linkView(link: MeshLink): StatusView {
  switch (link.state) {
    case "direct":
      return (link.loss ?? 0) >= LOSSY
        ? { tone: "warn", label: "Direct, with losses" }
        : { tone: "ok", label: "Direct" };
    case "relayed":
      return { tone: "warn", label: link.via ? `Relayed via ${link.via}` : "Relayed" };
    case "silent":
      return { tone: "bad", label: "No answer" };
    case "unknown":
      return { tone: "idle", label: "Unknown" };
  }
}

export const rtt = (link: MeshLink) =>
  link.rtt_ms != null && link.state !== "silent" ? took(link.rtt_ms) : "–";
export const loss = (link: MeshLink) => (link.loss == null ? "–" : `${Math.round(link.loss)} %`);
export const handshake = (link: MeshLink) =>
  link.handshake_age_s == null ? "never" : `${age(link.handshake_age_s * 1000)} ago`;

/** The link in words, for who does not see its place in the matrix. */
export function told(link: MeshLink): string {
  const parts = [linkView(link).label.toLowerCase()];
  if (link.state !== "unknown") {
    parts.push(`there and back ${rtt(link)}`, `loss ${loss(link)}`, `handshake ${handshake(link)}`);
  }
  return `${link.from} to ${link.to}: ${parts.join(", ")}`;
}

/** By names: the link from one node to another. */
export function matrixOf(mesh: Mesh): (from: string, to: string) => MeshLink | undefined {
  const rows = new Map<string, Map<string, MeshLink>>();
  for (const link of mesh.links) {
    const row = rows.get(link.from) ?? new Map<string, MeshLink>();
    rows.set(link.from, row.set(link.to, link));
  }
  return (from, to) => rows.get(from)?.get(to);
}
