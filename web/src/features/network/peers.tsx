import { Link } from "react-router";
import type { MeshLink } from "@/api/mesh";
import { Status } from "@/components/status";
import { bytes } from "@/lib/bytes";
import { handshake, linkView, loss, rtt } from "./links";

/** How one node reaches the others. */
export function Peers({ links }: { links: MeshLink[] }) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>Peer</th>
            <th>Way</th>
            <th className="end">There and back</th>
            <th className="end">Loss</th>
            <th className="hide-small">Handshake</th>
            <th className="hide-small end">Largest packet</th>
            <th className="hide-small end">Received, sent</th>
          </tr>
        </thead>
        <tbody>
          {links.map((link) => (
            <tr key={link.to}>
              <td>
                <Link className="row-link" to={`/nodes/${link.to}`}>
                  {link.to}
                </Link>
              </td>
              <td>
                <Status view={linkView(link)} />
                {link.endpoint && <span className="sub num">{link.endpoint}</span>}
              </td>
              <td className="end num nowrap">{rtt(link)}</td>
              <td className="end num nowrap">{loss(link)}</td>
              <td className="hide-small nowrap">{handshake(link)}</td>
              <td className="hide-small end num">{link.mtu ?? "–"}</td>
              <td className="hide-small end num nowrap">
                {bytes(link.received_bytes)}, {bytes(link.sent_bytes)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
