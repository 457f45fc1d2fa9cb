import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { noticesQuery } from "@/api/queries";
import type { PlatformNotice } from "@/api/types";
import { Button } from "@/components/button";
import { Card, Empty, PageHead, useTitle } from "@/components/page";
import { Rows } from "@/components/rows";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { Words } from "@/components/words";
import { cli } from "@/lib/cli";
import { noticeSeverity, viewOf } from "@/lib/status";
import { sentence } from "@/lib/text";

export function Component() {
  const [resolved, setResolved] = useState(false);
  const notices = useQuery(noticesQuery(resolved));
  useTitle("Notices", notices.data?.some((notice) => !notice.resolved_at) ? "bad" : undefined);
  return (
    <div className="page">
      <PageHead
        title="Notices"
        text="What somebody should look at. A notice goes by itself when its trouble is over."
        actions={
          <Button onClick={() => setResolved(!resolved)} aria-pressed={resolved}>
            {resolved ? "Hide resolved" : "Show resolved"}
          </Button>
        }
      />
      <Card flush>
        <Rows
          query={notices}
          rows={notices.data}
          skeleton={[90, 320, 90]}
          empty={
            <Empty
              icon="check"
              title="Nothing to look at"
              text="Certificates that end or cannot be had are told here."
              command={cli.notices()}
            />
          }
        >
          {(notices) => <Table notices={notices} />}
        </Rows>
      </Card>
    </div>
  );
}

/** Where one looks at it. */
export function placeOf(subject: string): string | undefined {
  const [kind, name] = [subject.split(":", 1)[0], subject.slice(subject.indexOf(":") + 1)];
  return kind === "certificate" ? `/certificates/${encodeURIComponent(name)}` : undefined;
}

function Table({ notices }: { notices: PlatformNotice[] }) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>State</th>
            <th>Notice</th>
            <th className="hide-small">Since</th>
          </tr>
        </thead>
        <tbody>
          {notices.map((notice) => {
            const place = placeOf(notice.subject);
            return (
              <tr key={notice.id}>
                <td>
                  <Status
                    view={
                      notice.resolved_at
                        ? { tone: "ok", label: "Resolved" }
                        : viewOf(noticeSeverity, notice.severity)
                    }
                  />
                </td>
                <td>
                  {place ? (
                    <Link className="row-link" to={place}>
                      {notice.text}
                    </Link>
                  ) : (
                    notice.text
                  )}
                  {notice.hint && (
                    <span className="sub">
                      <Words text={sentence(notice.hint)} />
                    </span>
                  )}
                </td>
                <td className="hide-small">
                  <Time at={notice.first_seen} />
                  {notice.resolved_at && (
                    <span className="sub">
                      over <Time at={notice.resolved_at} />
                    </span>
                  )}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
