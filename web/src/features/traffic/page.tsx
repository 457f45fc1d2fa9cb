import { useQuery } from "@tanstack/react-query";
import { useMemo, useRef } from "react";
import { useOutletContext, useSearchParams } from "react-router";
import { trafficQuery } from "@/api/traffic";
import type { App } from "@/api/types";
import { Card, Empty, ErrorNotice, TableSkeleton } from "@/components/page";
import { Ranges } from "@/components/ranges";
import { RANGES, rangeName } from "@/lib/chart";
import { cli } from "@/lib/cli";
import { Charts } from "./charts";
import { filtersOf, prefixOf, withFilters } from "./filters";
import { Requests } from "./requests";
import { requestsOf } from "./series";
import { Paths, Totals } from "./totals";

/** Who tells what it serves, and who does not. */
const HOW =
  "Proxies and workers tell every 10 seconds what they served. A Traefik of your own, which reads its routes with a token, does not.";

export function Component() {
  const app = useOutletContext<App>();
  const [query, setQuery] = useSearchParams();
  const range = RANGES.find((known) => known === query.get("range")) ?? "24h";
  const filters = useMemo(() => filtersOf(query), [query]);
  const traffic = useQuery(trafficQuery(app.slug, range));
  const requests = useRef<HTMLDivElement>(null);
  /** What is at its default is left out of the address. */
  const set = (name: string, value: string | undefined) =>
    setQuery(
      (before) => {
        const next = new URLSearchParams(before);
        if (value) next.set(name, value);
        else next.delete(name);
        return next;
      },
      { replace: true },
    );
  const showPath = (path: string) => {
    setQuery((before) => withFilters(before, { ...filters, path: prefixOf(path) }));
    requests.current?.scrollIntoView({ block: "start" });
  };
  const sums = traffic.data;
  return (
    <div className="stack loose">
      <div>
        <Ranges range={range} onRange={(next) => set("range", next === "24h" ? undefined : next)} />
      </div>
      {traffic.isError && <ErrorNotice error={traffic.error} retry={traffic.refetch} />}
      {traffic.isPending && (
        <Card flush>
          <TableSkeleton columns={[180, 180, 180, 180]} />
        </Card>
      )}
      {sums && requestsOf(sums.total) === 0 && (
        <Card>
          <Empty
            icon="overview"
            title={`No requests in the last ${rangeName[range]}`}
            text={app.release ? HOW : `Requests begin with the first release. ${HOW}`}
            command={cli.traffic(app.slug)}
          />
        </Card>
      )}
      {sums && requestsOf(sums.total) > 0 && (
        <>
          <Totals traffic={sums} />
          <Charts traffic={sums} />
          {sums.paths.length > 0 && <Paths paths={sums.paths} onPath={showPath} />}
        </>
      )}
      <div ref={requests} className="traffic-requests">
        <Requests
          app={app.slug}
          filters={filters}
          onFilters={(next) => setQuery((before) => withFilters(before, next), { replace: true })}
          follow={query.get("follow") !== "off"}
          onFollow={(follow) => set("follow", follow ? undefined : "off")}
        />
      </div>
    </div>
  );
}
