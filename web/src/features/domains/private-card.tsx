import { useQuery } from "@tanstack/react-query";
import {
  type EgressRule,
  type NetworkGrant,
  type PrivateNetwork,
  privateNetworkQuery,
  useRevokeGrant,
} from "@/api/private-network";
import type { App } from "@/api/types";
import { Button } from "@/components/button";
import { Code, Copy } from "@/components/copy";
import { Card, ErrorNotice } from "@/components/page";
import { cli } from "@/lib/cli";

interface Props {
  app: App;
  mayChange: boolean;
}

/** How apps of the project reach each other, past the proxies. */
export function PrivateCard({ app, mayChange }: Props) {
  const { data: network, error } = useQuery(privateNetworkQuery(app.project.slug));
  return (
    <Card
      title="Private network"
      text="Names by which apps of the project reach each other, on whichever node they run, at port 80 or the app's own."
      footer={<code>{cli.privateNetwork(app.project.slug)}</code>}
    >
      {error && <ErrorNotice error={error} />}
      {network && <Shown app={app} network={network} mayChange={mayChange} />}
    </Card>
  );
}

function Shown({ app, network, mayChange }: Props & { network: PrivateNetwork }) {
  const own = network.apps.find((one) => one.app === app.slug);
  const others = network.apps.filter((one) => one.app !== app.slug);
  return (
    <div className="stack">
      {own && (
        <span className="hostname">
          <code className="break">{own.name}</code>
          <Copy text={own.name} label="Copy the private name" />
          <span className="small faint">
            {own.instances === 0 ? "no instance serves" : reached(own.ports)}
          </span>
        </span>
      )}
      {others.length > 0 && (
        <p className="small faint break">The app also reaches {others.map(({ name }) => name).join(", ")}.</p>
      )}
      {network.grants.length > 0 && (
        <ul className="plain stack tight">
          {network.grants.map((grant) => (
            <Granted key={grant.id} grant={grant} mayChange={mayChange} />
          ))}
        </ul>
      )}
      {network.grants.length === 0 && mayChange && (
        <Code prompt text={cli.grantNetwork(app.project.slug, app.slug)} />
      )}
      <p className="small faint break">Outside of it: {outside(network.egress ?? undefined)}.</p>
    </div>
  );
}

const reached = (ports: number[]) =>
  `port ${[...new Set([80, ...ports])].sort((one, other) => one - other).join(" or ")}`;

function Granted({ grant, mayChange }: { grant: NetworkGrant; mayChange: boolean }) {
  const revoke = useRevokeGrant();
  const { from, to_project, to_app, created_by } = grant;
  const target = to_app ? `${to_project}/${to_app}` : to_project;
  return (
    <li className="row between wrap">
      <span className="small break">
        Apps of {from} may reach {target}, says {created_by}
      </span>
      {mayChange && (
        <Button
          small
          kind="danger-quiet"
          busy={revoke.isPending}
          onClick={() => revoke.mutate(grant)}
          aria-label={`Revoke the grant from ${from} to ${target}`}
        >
          Revoke
        </Button>
      )}
      {revoke.isError && <ErrorNotice error={revoke.error} />}
    </li>
  );
}

function outside(rules?: EgressRule[]): string {
  if (!rules) return "anywhere public";
  if (rules.length === 0) return "nowhere";
  return rules.map(({ to, ports }) => (ports?.length ? `${to} port ${ports.join(", ")}` : to)).join("; ");
}
