import type { PathTraffic, Traffic } from "@/api/traffic";
import { Card } from "@/components/page";
import { bytes } from "@/lib/bytes";
import { count, share } from "@/lib/number";
import { took, tookOr } from "@/lib/time";
import { prefixOf } from "./filters";
import { requestsOf } from "./series";

export function Totals({ traffic: { total, from, until } }: { traffic: Traffic }) {
  const requests = requestsOf(total);
  const seconds = Math.max(1, (Date.parse(until) - Date.parse(from)) / 1000);
  return (
    <Card flush>
      <dl className="summary">
        <div>
          <dt>Requests</dt>
          <dd className="num">{count(requests)}</dd>
          <dd className="sub num">{(requests / seconds).toPrecision(2)} per second</dd>
        </div>
        <div>
          <dt>Errors</dt>
          <dd className="num">{share(total.requests["5xx"], requests)}</dd>
          <dd className="sub num">
            {count(total.requests["5xx"])} of 5xx, {count(total.requests["4xx"])} of 4xx
            {total.upstream_errors > 0 && `; ${count(total.upstream_errors)} attempts without an answer`}
          </dd>
        </div>
        <div>
          <dt>Response time</dt>
          <dd className="num">{tookOr(total.p95_ms)} p95</dd>
          <dd className="sub num">
            {tookOr(total.p50_ms)} p50, {tookOr(total.p99_ms)} p99
          </dd>
        </div>
        <div>
          <dt>Sent</dt>
          <dd className="num">{bytes(total.sent_bytes)}</dd>
          <dd className="sub num">
            {bytes(total.received_bytes)} received
            {total.connections > 0 && `; ${count(total.connections)} connections to ports`}
          </dd>
        </div>
      </dl>
    </Card>
  );
}

export function Paths({ paths, onPath }: { paths: PathTraffic[]; onPath: (path: string) => void }) {
  return (
    <Card
      title="Paths"
      text="Most asked for. Numbers and ids are counted together as *; choose one to see requests that begin like it."
      flush
    >
      <div className="table-wrap">
        <table className="table traffic-paths">
          <thead>
            <tr>
              <th>Path</th>
              <th className="end">Requests</th>
              <th className="end">Errors</th>
              <th className="end hide-small">Mean</th>
            </tr>
          </thead>
          <tbody>
            {paths.map(({ path, requests, errors, mean_ms }) => (
              <tr key={path} className="linked">
                <td>
                  {prefixOf(path) === "/" ? (
                    <code>{path}</code>
                  ) : (
                    <button
                      type="button"
                      className="row-link"
                      aria-label={`Requests that begin with ${prefixOf(path)}`}
                      onClick={() => onPath(path)}
                    >
                      <code>{path}</code>
                    </button>
                  )}
                </td>
                <td className="end num">{count(requests)}</td>
                <td className="end num">
                  {errors === 0 ? <span className="faint">–</span> : share(errors, requests)}
                </td>
                <td className="end num hide-small">{took(mean_ms)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
