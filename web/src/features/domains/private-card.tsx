import { useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import { type NetworkGrant, type PrivateNetwork, privateNetworkQuery } from "@/api/private-network";
import type { App } from "@/api/types";
import { Button } from "@/components/button";
import { Code, Copy } from "@/components/copy";
import { Card, ErrorNotice } from "@/components/page";
import { cli } from "@/lib/cli";
import { egressWords } from "./egress";
import { EgressDialog, GrantDialog, RevokeDialog } from "./private-dialogs";

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

type Asked = "grant" | "egress" | NetworkGrant;

function Shown({ app, network, mayChange }: Props & { network: PrivateNetwork }) {
  const [asked, setAsked] = useState<Asked>();
  const why = useId();
  const own = network.apps.find((one) => one.app === app.slug);
  const others = network.apps.filter((one) => one.app !== app.slug);
  const project = app.project.slug;
  const close = () => setAsked(undefined);
  const locked = { disabled: !mayChange, ...(!mayChange && { "aria-describedby": why }) };
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
            <Granted key={grant.id} grant={grant} locked={locked} onRevoke={() => setAsked(grant)} />
          ))}
        </ul>
      )}
      {network.grants.length === 0 && mayChange && <Code prompt text={cli.grantNetwork(project, app.slug)} />}
      <p className="small faint break">Outside of it: {egressWords(network.egress)}.</p>
      <div className="row wrap">
        <Button small icon="plus" {...locked} onClick={() => setAsked("grant")}>
          Grant access
        </Button>
        <Button small {...locked} onClick={() => setAsked("egress")}>
          Change what is reached outside
        </Button>
      </div>
      {!mayChange && (
        <p className="small faint" id={why}>
          Only administrators change grants and what is reached outside.
        </p>
      )}
      {asked === "grant" && <GrantDialog project={project} onClose={close} />}
      {asked === "egress" && (
        <EgressDialog project={project} rules={network.egress ?? null} onClose={close} />
      )}
      {typeof asked === "object" && <RevokeDialog grant={asked} onClose={close} />}
    </div>
  );
}

const reached = (ports: number[]) =>
  `port ${[...new Set([80, ...ports])].sort((one, other) => one - other).join(" or ")}`;

interface GrantedProps {
  grant: NetworkGrant;
  locked: { disabled: boolean };
  onRevoke: () => void;
}

function Granted({ grant, locked, onRevoke }: GrantedProps) {
  const { from, to_project, to_app, created_by } = grant;
  const target = to_app ? `${to_project}/${to_app}` : to_project;
  return (
    <li className="row between wrap">
      <span className="small break">
        Apps of {from} may reach {target}, says {created_by}
      </span>
      <Button
        small
        kind="danger-quiet"
        {...locked}
        onClick={onRevoke}
        aria-label={`Revoke the grant from ${from} to ${target}`}
      >
        Revoke
      </Button>
    </li>
  );
}
