import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useOutletContext } from "react-router";
import { activityQuery } from "@/api/queries";
import type { Activity, App } from "@/api/types";
import { Card, Empty, MoreButton } from "@/components/page";
import { Rows } from "@/components/rows";
import { Time } from "@/components/time";
import { cli } from "@/lib/cli";

/** What happened to the app. */
export function Component() {
  const app = useOutletContext<App>();
  const query = useInfiniteQuery(activityQuery(app.slug));
  const events = query.data?.pages.flatMap((page) => page.items);
  return (
    <Card flush>
      <Rows
        query={query}
        rows={events}
        skeleton={[360, 90]}
        empty={
          <Empty
            icon="audit"
            title="Nothing happened yet"
            text="Deployments, changes and what the crash guard did are told here."
            command={cli.activity(app.slug)}
          />
        }
      >
        {(events) => <Timeline app={app} events={events} />}
      </Rows>
      <MoreButton query={query} />
    </Card>
  );
}

function Timeline({ app, events }: { app: App; events: Activity[] }) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>What</th>
            <th>When</th>
          </tr>
        </thead>
        <tbody>
          {events.map((event) => (
            <tr key={event.id}>
              <td>
                <Told app={app} event={event} />
              </td>
              <td className="nowrap">
                <Time at={event.at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The sentence; it leads to the deployment that it is about. */
function Told({ app, event: { actor, deployment, text } }: { app: App; event: Activity }) {
  return deployment ? (
    <Link className="link" title={actor} to={`/apps/${app.slug}/deployments/${deployment}`}>
      {text}
    </Link>
  ) : (
    <span title={actor}>{text}</span>
  );
}
