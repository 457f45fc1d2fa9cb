import { useState } from "react";
import { useVerifyDomain } from "@/api/domains";
import type { App, Domain } from "@/api/types";
import { Button } from "@/components/button";
import { Card, ErrorNotice, Notice } from "@/components/page";
import { Badge } from "@/components/status";
import { Time } from "@/components/time";
import { useToast } from "@/components/toast";
import { domainState, viewOf } from "@/lib/status";
import { sentence } from "@/lib/text";
import { exact } from "@/lib/time";
import { CertificateFact } from "./certificate";
import { MoveDialog, RemoveDialog } from "./dialogs";
import { Paths } from "./paths";
import { Records } from "./records";

interface Props {
  app: App;
  domain: Domain;
  mayChange: boolean;
}

/** One domain: where it stands, what its DNS needs, what leads elsewhere. */
export function DomainCard({ app, domain, mayChange }: Props) {
  const [dialog, setDialog] = useState<"remove" | "move">();
  const verify = useVerifyDomain(app.slug);
  const toast = useToast();
  const look = () =>
    verify.mutate(domain.hostname, {
      onSuccess: (seen) => {
        if (seen.state === "verified" && !seen.error) toast.done(`${seen.hostname} is verified and served`);
      },
    });
  return (
    <Card
      className="domain"
      title={
        <span className="domain-name">
          {domain.state === "verified" && !domain.hostname.startsWith("*") ? (
            <a href={`https://${domain.hostname}`} target="_blank" rel="noreferrer">
              {domain.hostname}
            </a>
          ) : (
            domain.hostname
          )}{" "}
          <Badge view={viewOf(domainState, domain.state)} />
        </span>
      }
      text={domain.unicode ?? undefined}
      actions={
        mayChange && (
          <Button small busy={verify.isPending} onClick={look} aria-label={`Check ${domain.hostname}`}>
            Check now
          </Button>
        )
      }
      footer={
        mayChange && (
          <div className="row wrap">
            <Button small onClick={() => setDialog("move")} aria-label={`Move ${domain.hostname}`}>
              Move to another app
            </Button>
            <Button
              small
              kind="danger-quiet"
              onClick={() => setDialog("remove")}
              aria-label={`Remove ${domain.hostname}`}
            >
              Remove
            </Button>
          </div>
        )
      }
    >
      <div className="stack">
        <Standing domain={domain} />
        {verify.isError && <ErrorNotice error={verify.error} />}
        <Facts domain={domain} />
        <Records domain={domain} />
        {(domain.paths.length > 0 || (mayChange && domain.state === "verified")) && (
          <Paths app={app} domain={domain} mayChange={mayChange} />
        )}
      </div>
      {dialog === "remove" && (
        <RemoveDialog app={app.slug} domain={domain} onClose={() => setDialog(undefined)} />
      )}
      {dialog === "move" && (
        <MoveDialog app={app.slug} domain={domain} onClose={() => setDialog(undefined)} />
      )}
    </Card>
  );
}

/** What is wrong, and what follows from it if nobody does anything. */
function Standing({ domain }: { domain: Domain }) {
  const why = domain.error && sentence(domain.error);
  if (domain.state === "pending") {
    return (
      <Notice tone={domain.checked_at ? "warn" : "busy"} title="Write the records below into its DNS">
        {why && <p className="break">{why}.</p>}
        {domain.expires_at && <p>It is forgotten {ahead(domain.expires_at)} unless its record is seen.</p>}
      </Notice>
    );
  }
  if (domain.state === "lapsed") {
    return (
      <Notice tone="bad" title="It is not served any more">
        {why && <p className="break">{why}.</p>}
        <p>Write the TXT record below into its DNS to have it back.</p>
      </Notice>
    );
  }
  if (domain.missing_since) {
    return (
      <Notice tone="warn" title="Its TXT record is missing">
        {why && <p className="break">{why}.</p>}
        {domain.lapses_at && <p>It is not served any more {ahead(domain.lapses_at)} unless it is back.</p>}
      </Notice>
    );
  }
  return why ? (
    <Notice tone="warn" title="Its TXT record could not be looked up">
      <p className="break">{why}.</p>
    </Notice>
  ) : null;
}

const ahead = (at: string) => `on ${exact(at)}`;

function Facts({ domain }: { domain: Domain }) {
  const { certificate } = domain;
  return (
    <dl className="facts">
      <dt>Certificate</dt>
      <dd>
        <CertificateFact host={domain.hostname} certificate={certificate} />
        {certificate.error && <span className="sub break">{sentence(certificate.error)}</span>}
      </dd>
      <dt>Checked</dt>
      <dd>
        {domain.checked_at ? <Time at={domain.checked_at} /> : "not yet"}
        <span className="faint">
          , again <Time at={domain.next_check_at} />
        </span>
      </dd>
      <dt>Added</dt>
      <dd>
        <Time at={domain.created_at} />
        <span className="faint"> by {domain.created_by}</span>
      </dd>
    </dl>
  );
}
