import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { asApiError } from "@/api/errors";
import { type AccessSample, type AccessSamples, type Filters, isNewest, requestsQuery } from "@/api/traffic";
import { Button } from "@/components/button";
import { Card, Empty, MoreButton } from "@/components/page";
import { Rows } from "@/components/rows";
import { Badge } from "@/components/status";
import { bytes } from "@/lib/bytes";
import { cli } from "@/lib/cli";
import type { StatusView, Tone } from "@/lib/status";
import { clock, day, exact, took } from "@/lib/time";
import { Details } from "./details";
import { FilterFields } from "./fields";
import { isFilter } from "./filters";

interface Props {
  app: string;
  filters: Filters;
  onFilters: (filters: Filters) => void;
  follow: boolean;
  onFollow: (follow: boolean) => void;
}

/** Requests that were kept whole, the newest first. */
export function Requests({ app, filters, onFilters, follow, onFollow }: Props) {
  const options = requestsQuery(app, filters, follow);
  const query = useInfiniteQuery(options);
  const client = useQueryClient();
  const [opened, setOpened] = useState<AccessSample>();
  const pages = query.data?.pages;
  // Older pages may still be there from an earlier look at them.
  const following = follow && isNewest(query.data);
  const samples = pages?.flatMap((page) => page.items);
  const error = query.error ? asApiError(query.error) : undefined;
  const refused = error && isFilter(error.field) ? { [error.field]: error.message } : {};
  const filtered = Object.keys(filters).length > 0;
  const older = () => {
    // Older ones would move away under the reader's eyes.
    onFollow(false);
    return query.fetchNextPage();
  };
  const toggle = () => {
    // Who follows looks at the newest: older pages would only be fetched again and again.
    client.setQueryData(options.queryKey, (data) =>
      data ? { pages: data.pages.slice(0, 1), pageParams: data.pageParams.slice(0, 1) } : data,
    );
    onFollow(!following);
  };
  return (
    <Card
      title="Requests"
      text={noteOf(samples ?? [], pages?.[0])}
      flush
      actions={
        <Button
          small
          icon={following ? "stop" : "play"}
          aria-pressed={following}
          onClick={toggle}
          title={following ? "New requests appear by themselves" : undefined}
        >
          Follow
        </Button>
      }
    >
      <FilterFields filters={filters} onChange={onFilters} refused={refused} />
      <Rows
        query={query}
        rows={samples}
        skeleton={[90, 60, 260, 70, 70]}
        empty={
          filtered ? (
            <Empty
              icon="search"
              title="Nothing found"
              text="None of the requests that were kept is like this; others may have been."
              action={<Button onClick={() => onFilters({})}>Without filters</Button>}
            />
          ) : (
            <Empty
              icon="clock"
              title="No requests yet"
              text={
                pages?.[0]?.kept_days === 0
                  ? "The control plane is configured to keep none."
                  : "They appear here within seconds after they were answered."
              }
              command={cli.requests(app)}
            />
          )
        }
      >
        {(samples) => <Samples samples={samples} onOpen={setOpened} />}
      </Rows>
      <MoreButton query={{ ...query, fetchNextPage: older }} />
      {opened && (
        <Details
          sample={opened}
          onClose={() => setOpened(undefined)}
          onFilter={(wanted) => {
            onFilters({ ...filters, ...wanted });
            setOpened(undefined);
          }}
        />
      )}
    </Card>
  );
}

/** What is in the list, and what of a request is not. */
function noteOf(samples: AccessSample[], page: AccessSamples | undefined): string {
  const { kept_days: days = 0, kept_since: since } = page ?? {};
  const oldest = since ? ` (the oldest: ${exact(since)})` : "";
  const kept = days === 0 ? "" : `, kept for ${days === 1 ? "a day" : `${days} days`} at most${oldest}`;
  const sample = `A sample: of each host 5 a second, of errors up to 50 at once${kept}, without their queries.`;
  if (samples.length === 0) return sample;
  if (samples.every(({ client }) => !client)) return `${sample} Addresses of clients are not kept.`;
  return samples.some(({ client }) => client?.includes("/"))
    ? `${sample} Of clients the network is kept, not the address: /24, or /48 of IPv6.`
    : sample;
}

function Samples({ samples, onOpen }: { samples: AccessSample[]; onOpen: (sample: AccessSample) => void }) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>Time</th>
            <th>Status</th>
            <th>Request</th>
            <th className="end">Took</th>
            <th className="end hide-small">Sent</th>
            <th className="hide-small">Client</th>
          </tr>
        </thead>
        <tbody>
          {samples.map((sample) => (
            <tr key={sample.id} className="linked">
              <td>
                <time dateTime={sample.at} title={exact(sample.at)} className="num nowrap">
                  {clock(sample.at).slice(0, 8)}
                </time>
                <span className="sub nowrap">{day(sample.at)}</span>
              </td>
              <td>
                <Badge view={statusView(sample.status)} />
              </td>
              <td className="traffic-request">
                <button
                  type="button"
                  className="row-link truncate"
                  title={sample.path}
                  onClick={() => onOpen(sample)}
                >
                  <code>
                    {sample.method} {sample.path}
                  </code>
                </button>
                <span className="sub truncate">{sample.host}</span>
              </td>
              <td className="end num nowrap">{took(sample.took_ms)}</td>
              <td className="end num nowrap hide-small">{bytes(sample.sent_bytes)}</td>
              <td className="hide-small">
                {sample.client ? <code>{sample.client}</code> : <span className="faint">–</span>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const tones: Tone[] = ["idle", "busy", "ok", "idle", "warn", "bad"];

function statusView(status: number): StatusView {
  return { tone: tones[Math.floor(status / 100)] ?? "idle", label: String(status) };
}
