import { useId, useState } from "react";
import type { NetworkGrant, PrivateApp, PrivateNetwork } from "@/api/private-network";
import { cli } from "@/lib/cli";
import { egressWords } from "@/lib/egress";
import { Button } from "./button";
import { Code, Copy } from "./copy";
import { EgressDialog, GrantDialog, RevokeDialog } from "./private-dialogs";

/** The name by which an app is reached, and at which ports. */
export function PrivateName({ app }: { app: PrivateApp }) {
  return (
    <span className="hostname">
      <code className="break">{app.name}</code>
      <Copy text={app.name} label={`Copy the private name of ${app.app}`} />
      <span className="small faint">{app.instances === 0 ? "no instance serves" : reached(app.ports)}</span>
    </span>
  );
}

const reached = (ports: number[]) =>
  `port ${[...new Set([80, ...ports])].sort((one, other) => one - other).join(" or ")}`;

interface RightsProps {
  network: PrivateNetwork;
  /** The app to which others may be let, in the example of how. */
  app?: string;
  mayChange: boolean;
}

type Asked = "grant" | "egress" | NetworkGrant;

/** What a project may reach besides its own apps, and who may reach them. */
export function NetworkRights({ network, app, mayChange }: RightsProps) {
  const [asked, setAsked] = useState<Asked>();
  const why = useId();
  const { project, grants } = network;
  const close = () => setAsked(undefined);
  const locked = { disabled: !mayChange, ...(!mayChange && { "aria-describedby": why }) };
  return (
    <>
      {grants.length > 0 && (
        <ul className="plain stack tight">
          {grants.map((grant) => (
            <Granted key={grant.id} grant={grant} locked={locked} onRevoke={() => setAsked(grant)} />
          ))}
        </ul>
      )}
      {grants.length === 0 && mayChange && <Code prompt text={cli.grantNetwork(project, app)} />}
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
    </>
  );
}

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
