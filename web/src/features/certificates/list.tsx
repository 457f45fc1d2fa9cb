import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { certificatesQuery, isAdmin, sessionQuery } from "@/api/queries";
import type { Certificate } from "@/api/types";
import { Button } from "@/components/button";
import { SearchField } from "@/components/field";
import { Card, Empty, PageHead, useTitle } from "@/components/page";
import { Rows } from "@/components/rows";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { cli } from "@/lib/cli";
import { certificateStanding, viewOf } from "@/lib/status";
import { ImportDialog } from "./import";
import { Imports } from "./imports";

/** Those that somebody has to look at come first, then the ones that end first. */
export function sorted(certificates: Certificate[]): Certificate[] {
  const rank = ({ standing }: Certificate) => {
    const { tone } = viewOf(certificateStanding, standing);
    return tone === "bad" ? 0 : tone === "warn" ? 1 : 2;
  };
  const end = ({ not_after }: Certificate) => (not_after ? Date.parse(not_after) : 0);
  return [...certificates].sort((one, other) => rank(one) - rank(other) || end(one) - end(other));
}

export function Component() {
  const certificates = useQuery(certificatesQuery);
  const { data: session } = useQuery(sessionQuery);
  const [text, setText] = useState("");
  const [importing, setImporting] = useState(false);
  const all = certificates.data;
  const found = all?.filter(({ host, app }) => host.includes(text.trim()) || app?.includes(text.trim()));
  const bad = all?.some(({ standing }) => viewOf(certificateStanding, standing).tone === "bad");
  useTitle("Certificates", bad ? "bad" : undefined);
  return (
    <div className="page">
      <PageHead
        title="Certificates"
        text="One for every host name that is served, ordered and renewed by the proxies, or imported."
        actions={
          isAdmin(session) && (
            <Button kind="primary" icon="upload" onClick={() => setImporting(true)}>
              Import
            </Button>
          )
        }
      />
      {all && all.length > 8 && <SearchField label="Filter by host or app" value={text} onChange={setText} />}
      <Card flush>
        <Rows
          query={certificates}
          rows={found && sorted(found)}
          skeleton={[200, 110, 120, 90]}
          empty={
            <Empty
              icon="lock"
              title={text ? "No host name fits" : "No host name is served yet"}
              text={
                text
                  ? "Try fewer letters."
                  : "A certificate is ordered with the first live release of an app."
              }
              command={cli.certificates()}
            />
          }
        >
          {(certificates) => <Table certificates={certificates} />}
        </Rows>
      </Card>
      <Imports mayRemove={isAdmin(session)} />
      {importing && <ImportDialog onClose={() => setImporting(false)} />}
    </div>
  );
}

function Table({ certificates }: { certificates: Certificate[] }) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>Host</th>
            <th>State</th>
            <th className="hide-small">Issuer</th>
            <th className="hide-small">Next</th>
          </tr>
        </thead>
        <tbody>
          {certificates.map((certificate) => (
            <tr key={certificate.host}>
              <td>
                <Link className="row-link" to={`/certificates/${encodeURIComponent(certificate.host)}`}>
                  {certificate.host}
                </Link>
                <span className="sub">{certificate.app ?? "the dashboard"}</span>
              </td>
              <td>
                <Status view={viewOf(certificateStanding, certificate.standing)} />
                <span className="sub">{certificate.summary}</span>
              </td>
              <td className="hide-small">
                {certificate.issuer ?? <span className="faint">–</span>}
                {certificate.staging && <span className="sub">for tests</span>}
                {certificate.source === "imported" && <span className="sub">imported</span>}
              </td>
              <td className="hide-small">
                {certificate.next?.at && <Time at={certificate.next.at} />}
                {certificate.next && <span className="sub">{certificate.next.what}</span>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
