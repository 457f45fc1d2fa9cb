import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "react-router";
import { readChain } from "@/api/mutations";
import { certificateQuery, mayDeploy, sessionQuery } from "@/api/queries";
import type { CertificateDetail } from "@/api/types";
import { Button } from "@/components/button";
import { Card, ErrorNotice, Notice, PageHead, Skeleton, useTitle } from "@/components/page";
import { Badge, StatusMark } from "@/components/status";
import { Time } from "@/components/time";
import { useToast } from "@/components/toast";
import { Words } from "@/components/words";
import { certificateStanding, viewOf } from "@/lib/status";
import { sentence } from "@/lib/text";
import { exact } from "@/lib/time";
import { Attempts } from "./attempts";
import { ReissueDialog } from "./reissue";

export function Component() {
  const { host = "" } = useParams();
  const certificate = useQuery(certificateQuery(host));
  const { data: session } = useQuery(sessionQuery);
  const [reissuing, setReissuing] = useState(false);
  const view = certificate.data && viewOf(certificateStanding, certificate.data.standing);
  useTitle(host, view?.tone);
  if (certificate.isError) return <ErrorPage host={host} error={certificate.error} />;
  const detail = certificate.data;
  const mayReissue = detail?.source === "acme" && detail.standing !== "none" && mayDeploy(session);
  return (
    <div className="page">
      <PageHead
        title={
          <>
            {host} {view && <Badge view={view} />}
          </>
        }
        text={detail?.summary ?? <Skeleton width={260} />}
        actions={
          detail && (
            <>
              {detail.not_after && <Download host={host} />}
              {mayReissue && (
                <Button icon="restart" onClick={() => setReissuing(true)}>
                  Reissue
                </Button>
              )}
            </>
          )
        }
      />
      {detail?.problem && (
        <Notice tone={detail.not_after ? "warn" : "bad"} title={sentence(detail.problem.message)}>
          {detail.problem.hint && (
            <p>
              <Words text={sentence(detail.problem.hint)} />
            </p>
          )}
          <p className="faint">
            <Time at={detail.problem.at} />
          </p>
        </Notice>
      )}
      {detail && (
        <>
          <div className="columns">
            <Facts detail={detail} />
            {detail.not_after && <Proxies proxies={detail.proxies} />}
          </div>
          <Attempts attempts={detail.attempts} />
        </>
      )}
      {reissuing && detail && <ReissueDialog detail={detail} onClose={() => setReissuing(false)} />}
    </div>
  );
}

function ErrorPage({ host, error }: { host: string; error: unknown }) {
  return (
    <div className="page">
      <PageHead title={host} />
      <ErrorNotice error={error} />
    </div>
  );
}

function Facts({ detail }: { detail: CertificateDetail }) {
  const date = (at: string) => (
    <>
      {exact(at)}{" "}
      <span className="faint">
        (<Time at={at} />)
      </span>
    </>
  );
  return (
    <Card title="Certificate">
      <dl className="facts">
        <dt>App</dt>
        <dd>
          {detail.app ? (
            <>
              <Link to={`/apps/${detail.app}`}>{detail.app}</Link>{" "}
              <Link className="link small" to={`/apps/${detail.app}/domains`}>
                Domains
              </Link>
            </>
          ) : (
            "the dashboard"
          )}
        </dd>
        {detail.names.length > 0 && (
          <>
            <dt>Names</dt>
            <dd>
              {detail.names.join(", ")}
              {!detail.names.includes(detail.host) && (
                <div className="faint">It covers {detail.host}, which has none of its own.</div>
              )}
            </dd>
          </>
        )}
        {detail.issuer && (
          <>
            <dt>Issuer</dt>
            <dd>
              {detail.issuer}
              {detail.staging && <div className="faint">For tests: browsers do not trust it.</div>}
            </dd>
          </>
        )}
        <dt>Source</dt>
        <dd>
          {detail.source === "imported" ? "Imported" : "Ordered by the proxies"}
          {detail.challenge && <span className="faint"> by {detail.challenge}</span>}
        </dd>
        {detail.not_before && (
          <>
            <dt>Valid from</dt>
            <dd>{date(detail.not_before)}</dd>
          </>
        )}
        {detail.not_after && (
          <>
            <dt>Until</dt>
            <dd>{date(detail.not_after)}</dd>
          </>
        )}
        {detail.next && (
          <>
            <dt>Next</dt>
            <dd>
              {detail.next.at && date(detail.next.at)}
              <div className="faint">{sentence(detail.next.what)}</div>
            </dd>
          </>
        )}
      </dl>
    </Card>
  );
}

function Proxies({ proxies }: { proxies: CertificateDetail["proxies"] }) {
  const view = ({ connected, current }: CertificateDetail["proxies"][number]) => {
    if (!connected) return { tone: "idle" as const, text: "not connected" };
    return current
      ? { tone: "ok" as const, text: "serves what is stored" }
      : { tone: "busy" as const, text: "serves an older table" };
  };
  return (
    <Card title="Served by">
      {proxies.length === 0 && <p className="muted small">No proxy has joined yet.</p>}
      <ul className="stack tight plain">
        {proxies.map((proxy) => {
          const { tone, text } = view(proxy);
          return (
            <li key={proxy.node} className="row">
              <span className={`tone-${tone}`}>
                <StatusMark tone={tone} />
              </span>
              <Link to={`/nodes/${proxy.node}`}>{proxy.node}</Link>
              <span className="faint small">
                {text}, table {proxy.generation}
              </span>
            </li>
          );
        })}
      </ul>
    </Card>
  );
}

function Download({ host }: { host: string }) {
  const toast = useToast();
  const save = async () => {
    try {
      const url = URL.createObjectURL(new Blob([await readChain(host)], { type: "application/x-pem-file" }));
      const link = document.createElement("a");
      link.href = url;
      link.download = `${host.replace("*", "wildcard")}.pem`;
      link.click();
      URL.revokeObjectURL(url);
    } catch (error) {
      toast.failed("The chain could not be read", error);
    }
  };
  return (
    <Button kind="ghost" icon="download" onClick={() => void save()}>
      Chain
    </Button>
  );
}
