import { useInfiniteQuery } from "@tanstack/react-query";
import { auditQuery } from "@/api/queries";
import type { AuditEvent } from "@/api/types";
import { Card, Empty, MoreButton, PageHead, useTitle } from "@/components/page";
import { Rows } from "@/components/rows";
import { Time } from "@/components/time";

export function Component() {
  useTitle("Audit");
  const query = useInfiniteQuery(auditQuery);
  const events = query.data?.pages.flatMap((page) => page.items);
  return (
    <div className="page">
      <PageHead title="Audit" text="Who changed what, and when." />
      <Card flush>
        <Rows
          query={query}
          rows={events}
          skeleton={[90, 130, 140, 200]}
          empty={
            <Empty
              icon="audit"
              title="Nothing happened yet"
              text="Every change is written here as it is made."
            />
          }
        >
          {(events) => <AuditTable events={events} />}
        </Rows>
        <MoreButton query={query} />
      </Card>
    </div>
  );
}

function AuditTable({ events }: { events: AuditEvent[] }) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>When</th>
            <th className="hide-small">Who</th>
            <th>What</th>
            <th className="hide-small">Detail</th>
          </tr>
        </thead>
        <tbody>
          {events.map((event) => (
            <tr key={event.id}>
              <td>
                <Time at={event.at} />
              </td>
              <td className="hide-small">
                {event.actor}
                {event.address && <span className="sub">{event.address}</span>}
              </td>
              <td>
                <code>{event.action}</code>
                {event.target && <span className="sub">{event.target}</span>}
              </td>
              <td className="hide-small" style={{ maxWidth: 360 }}>
                <code className="truncate muted" title={detailText(event.detail)}>
                  {detailText(event.detail)}
                </code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The detail's form depends on the action. */
export function detailText(detail: unknown): string {
  if (detail == null) return "";
  if (typeof detail !== "object") return String(detail);
  return Object.entries(detail)
    .map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ");
}
