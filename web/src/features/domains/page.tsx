import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useOutletContext } from "react-router";
import { domainsQuery } from "@/api/domains";
import { isAdmin, mayChangeApps, sessionQuery } from "@/api/queries";
import type { App } from "@/api/types";
import { Button } from "@/components/button";
import { Copy } from "@/components/copy";
import { Card, Empty } from "@/components/page";
import { Rows } from "@/components/rows";
import { cli } from "@/lib/cli";
import { CertificateFact } from "./certificate";
import { AddDialog } from "./dialogs";
import { DomainCard } from "./domain";
import { PrivateCard } from "./private-card";
import { StreamsCard } from "./streams-card";

export function Component() {
  const app = useOutletContext<App>();
  const { data: session } = useQuery(sessionQuery);
  const domains = useQuery(domainsQuery(app.slug));
  const [adding, setAdding] = useState(false);
  const mayChange = mayChangeApps(session);
  const add = mayChange && (
    <Button kind="primary" small icon="plus" onClick={() => setAdding(true)}>
      Add a domain
    </Button>
  );
  const some = domains.data && domains.data.length > 0;
  return (
    <div className="stack loose">
      <Card title="Address" text="The app's own name, which it has by itself and keeps.">
        <div className="stack tight">
          <span className="hostname">
            <a className="truncate" href={app.url} target="_blank" rel="noreferrer">
              {app.hostname}
            </a>
            <Copy text={app.url} label="Copy address" />
          </span>
          <CertificateFact host={app.hostname} certificate={app.certificate} />
        </div>
      </Card>
      <div className="row between wrap">
        <h2>Domains</h2>
        {some && add}
      </div>
      <Rows
        query={domains}
        rows={domains.data}
        skeleton={[200, 90, 90]}
        empty={
          <Card>
            <Empty
              icon="external"
              title="No domains yet"
              text="Add a name of your own; you are shown what to write into its DNS."
              action={add || undefined}
              command={cli.addDomain(app.slug)}
            />
          </Card>
        }
      >
        {(domains) =>
          domains.map((domain) => (
            <DomainCard key={domain.id} app={app} domain={domain} mayChange={mayChange} />
          ))
        }
      </Rows>
      <StreamsCard app={app} mayChange={mayChange} />
      <PrivateCard app={app} mayChange={isAdmin(session)} />
      {adding && <AddDialog app={app.slug} onClose={() => setAdding(false)} />}
    </div>
  );
}
