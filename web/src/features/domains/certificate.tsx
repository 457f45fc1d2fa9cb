import { Link } from "react-router";
import type { App } from "@/api/types";
import { Status } from "@/components/status";
import { certificateState, viewOf } from "@/lib/status";
import { exact } from "@/lib/time";

/** How a host name is certified: by its own certificate or by one that covers it, and where more is told of it. */
export function CertificateFact({
  host,
  certificate: { state, covered_by, not_after },
}: {
  host: string;
  certificate: App["certificate"];
}) {
  return (
    <span>
      <Status view={viewOf(certificateState, state)} />
      {covered_by && (
        <span className="muted">
          {" "}
          covered by <code>{covered_by}</code>
        </span>
      )}
      {not_after && <span className="faint"> until {exact(not_after)}</span>}{" "}
      {state !== "none" && (
        <Link
          className="link small"
          to={`/certificates/${encodeURIComponent(host)}`}
          aria-label={`Certificate of ${host}`}
        >
          Details
        </Link>
      )}
    </span>
  );
}
