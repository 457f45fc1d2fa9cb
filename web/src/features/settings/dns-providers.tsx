import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { asApiError } from "@/api/errors";
import { useDeleteDnsProvider, useTestDnsProvider } from "@/api/mutations";
import { dnsProvidersQuery, isAdmin, sessionQuery } from "@/api/queries";
import type { DnsProvider } from "@/api/types";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Card, Empty } from "@/components/page";
import { Rows } from "@/components/rows";
import { Time } from "@/components/time";
import { useToast } from "@/components/toast";
import { cli } from "@/lib/cli";
import { AddDnsProvider } from "./add-dns-provider";

const KINDS = { rfc2136: "Name server", cloudflare: "Cloudflare" } as const;

export function DnsProviders() {
  const { data: session } = useQuery(sessionQuery);
  const providers = useQuery(dnsProvidersQuery);
  const [adding, setAdding] = useState(false);
  const [removing, setRemoving] = useState<DnsProvider>();
  const mayChange = isAdmin(session);
  const isOwner = session?.organization.role === "owner";
  const add = mayChange && (
    <Button kind="primary" small icon="plus" onClick={() => setAdding(true)}>
      Add a provider
    </Button>
  );
  const some = providers.data && providers.data.length > 0;
  return (
    <section id="dns-providers">
      <Card
        title="DNS providers"
        text="Where records for certificates are set: for wildcards, and for hosts that a CA cannot reach. Keys are encrypted and never shown again."
        flush
        actions={some && add}
      >
        <Rows
          query={providers}
          rows={providers.data}
          skeleton={[160, 120, 120, 90]}
          empty={
            <Empty
              icon="key"
              title="No DNS providers yet"
              text="Certificates come without one, each name by itself; wildcards need one."
              action={add || undefined}
              command={cli.addDnsProvider()}
            />
          }
        >
          {(rows) => (
            <div className="table-wrap">
              <table className="table">
                <thead>
                  <tr>
                    <th>Zone</th>
                    <th>Provider</th>
                    <th>For</th>
                    <th className="hide-small">Stored</th>
                    <th className="end">
                      <span className="visually-hidden">Actions</span>
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {rows.map((provider) => (
                    <ProviderRow
                      key={provider.id}
                      provider={provider}
                      onRemove={mayChange && (isOwner || !provider.platform) ? setRemoving : undefined}
                      mayTest={mayChange}
                    />
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Rows>
      </Card>
      {adding && <AddDnsProvider mayBePlatform={isOwner} onClose={() => setAdding(false)} />}
      {removing && <RemoveDialog provider={removing} onClose={() => setRemoving(undefined)} />}
    </section>
  );
}

interface RowProps {
  provider: DnsProvider;
  onRemove: ((provider: DnsProvider) => void) | undefined;
  mayTest: boolean;
}

function ProviderRow({ provider, onRemove, mayTest }: RowProps) {
  const test = useTestDnsProvider();
  const { zone, kind, summary, platform, problem } = provider;
  return (
    <tr>
      <td>
        <code>{zone}</code>
        {test.data && (
          <span className="sub">
            Works: answered by {test.data.servers.join(", ")} after {(test.data.took_ms / 1000).toFixed(1)} s
          </span>
        )}
        {test.error && (
          <span className="sub" role="alert">
            Does not work: {asApiError(test.error).message}
          </span>
        )}
        {problem && <span className="sub">Cannot remove a record: {problem}</span>}
      </td>
      <td>
        {KINDS[kind]}
        <span className="sub">{summary}</span>
      </td>
      <td>{platform ? "All apps" : "Own domains"}</td>
      <td className="hide-small">
        <Time at={provider.updated_at} />
        <span className="sub">by {provider.updated_by}</span>
      </td>
      <td className="end">
        {mayTest && (
          <Button
            small
            busy={test.isPending}
            onClick={() => test.mutate(provider.id)}
            aria-label={`Try ${zone}`}
          >
            Try
          </Button>
        )}
        {onRemove && (
          <Button small kind="danger-quiet" onClick={() => onRemove(provider)} aria-label={`Forget ${zone}`}>
            Forget
          </Button>
        )}
      </td>
    </tr>
  );
}

function RemoveDialog({ provider, onClose }: { provider: DnsProvider; onClose: () => void }) {
  const remove = useDeleteDnsProvider();
  const toast = useToast();
  const confirm = () =>
    remove.mutate(provider.id, {
      onSuccess: () => {
        toast.done(`The DNS provider of ${provider.zone} is forgotten`);
        onClose();
      },
    });
  return (
    <Confirm
      title={`Forget the DNS provider of ${provider.zone}?`}
      verb="Forget provider"
      keep="Keep"
      danger
      change={remove}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p className="muted">
        Certificates that are there are served until their end; wildcards below this zone are not renewed.
      </p>
    </Confirm>
  );
}
