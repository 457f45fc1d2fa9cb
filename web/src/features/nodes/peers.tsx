import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { type MeshLink, meshQuery } from "@/api/mesh";
import { ButtonLink } from "@/components/button";
import { Card } from "@/components/page";
import { Rows } from "@/components/rows";
import { Status } from "@/components/status";
import type { Tone } from "@/lib/status";
import { sentence } from "@/lib/text";
import { took } from "@/lib/time";

const tones: Record<string, Tone> = { direct: "ok", relayed: "warn", silent: "bad" };

/** Whom the node reaches through the mesh; the network page tells more. */
export function MeshPeers({ name }: { name: string }) {
  const query = useQuery(meshQuery(name));
  return (
    <Card
      title="Mesh"
      actions={
        <ButtonLink small to="/network">
          Network
        </ButtonLink>
      }
      flush
    >
      <Rows
        query={query}
        rows={query.data?.links.filter((link) => link.from === name)}
        skeleton={[120, 90, 60]}
        empty={<p className="card-body small muted">It has no peers.</p>}
      >
        {(links) => (
          <div className="table-wrap">
            <table className="table">
              <tbody>
                {links.map((link) => (
                  <Peer key={link.to} link={link} />
                ))}
              </tbody>
            </table>
          </div>
        )}
      </Rows>
    </Card>
  );
}

function Peer({ link }: { link: MeshLink }) {
  return (
    <tr>
      <td>
        <Link to={`/nodes/${link.to}`}>{link.to}</Link>
      </td>
      <td>
        <Status view={{ tone: tones[link.state] ?? "idle", label: sentence(link.state) }} />
      </td>
      <td className="end num nowrap">{link.rtt_ms == null ? "–" : took(link.rtt_ms)}</td>
    </tr>
  );
}
