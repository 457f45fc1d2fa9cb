import type { CertificateDetail } from "@/api/types";
import { Card } from "@/components/page";
import { Status } from "@/components/status";
import { Elapsed, Time } from "@/components/time";
import { Words } from "@/components/words";
import { attemptOutcome, viewOf } from "@/lib/status";
import { sentence } from "@/lib/text";

type Attempt = CertificateDetail["attempts"][number];

const kinds: Record<string, string> = { first: "First order", renewal: "Renewal", reissue: "Reissue" };

/** What was tried, with the CA's words and what the order said while it ran. */
export function Attempts({ attempts }: { attempts: Attempt[] }) {
  if (attempts.length === 0) return null;
  return (
    <Card title="Last orders" flush>
      <div className="table-wrap">
        <table className="table">
          <thead>
            <tr>
              <th>Order</th>
              <th>Outcome</th>
              <th className="hide-small">By</th>
            </tr>
          </thead>
          <tbody>
            {attempts.map((attempt) => (
              <tr key={attempt.id}>
                <td>
                  {kinds[attempt.kind] ?? attempt.kind}
                  <span className="sub">
                    <Time at={attempt.at} />
                  </span>
                </td>
                <td>
                  <Status view={viewOf(attemptOutcome, attempt.outcome)} />
                  <Outcome attempt={attempt} />
                </td>
                <td className="hide-small">
                  {attempt.proxy ?? <span className="faint">–</span>}
                  <span className="sub nowrap">
                    {attempt.challenge}
                    {attempt.staging && ", staging"} · <Elapsed from={attempt.at} to={attempt.finished_at} />
                  </span>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function Outcome({ attempt: { trouble, log } }: { attempt: Attempt }) {
  return (
    <>
      {trouble && <span className="sub">{sentence(trouble.message)}</span>}
      {trouble?.hint && (
        <span className="sub">
          <Words text={sentence(trouble.hint)} />
        </span>
      )}
      {log.length > 0 && (
        <details className="small">
          <summary>{log.length === 1 ? "1 line" : `${log.length} lines`}</summary>
          <pre className="mono">{log.join("\n")}</pre>
        </details>
      )}
    </>
  );
}
