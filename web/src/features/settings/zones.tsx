import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { isAdmin, sessionQuery } from "@/api/queries";
import { useDeleteZone, useUpdateZone, type Zone, zonesQuery } from "@/api/zones";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Copy } from "@/components/copy";
import { Card } from "@/components/page";
import { Rows } from "@/components/rows";
import { useToast } from "@/components/toast";
import { ZoneDialog } from "./zone-dialog";

type Open = "new" | { change: Zone } | { remove: Zone } | { prefer: Zone };

export function Zones() {
  const { data: session } = useQuery(sessionQuery);
  const zones = useQuery(zonesQuery);
  const [open, setOpen] = useState<Open>();
  const mayChange = isAdmin(session);
  const close = () => setOpen(undefined);
  return (
    <section id="zones">
      <Card
        title="Zones"
        text="The DNS suffixes under which apps are served: by the proxies, or by one worker itself."
        flush
        actions={
          mayChange && (
            <Button kind="primary" small icon="plus" onClick={() => setOpen("new")}>
              Add a zone
            </Button>
          )
        }
      >
        <Rows query={zones} rows={zones.data} skeleton={[180, 110, 160]} empty={null}>
          {(zones) => <ZoneTable zones={zones} onOpen={mayChange ? setOpen : undefined} />}
        </Rows>
      </Card>
      {open === "new" && <ZoneDialog onClose={close} />}
      {typeof open === "object" && "change" in open && <ZoneDialog zone={open.change} onClose={close} />}
      {typeof open === "object" && "remove" in open && <RemoveDialog zone={open.remove} onClose={close} />}
      {typeof open === "object" && "prefer" in open && <PreferDialog zone={open.prefer} onClose={close} />}
    </section>
  );
}

interface TableProps {
  zones: Zone[];
  onOpen: ((open: Open) => void) | undefined;
}

function ZoneTable({ zones, onOpen }: TableProps) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>Zone</th>
            <th>Answered by</th>
            <th className="hide-small">DNS records</th>
            <th className="end">
              <span className="visually-hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {zones.map((zone) => (
            <tr key={zone.id}>
              <td>
                <code>{zone.suffix}</code>
                <span className="sub">
                  {zone.apps === 1 ? "1 app" : `${zone.apps} apps`}
                  {zone.is_default && ", and new ones"}
                </span>
              </td>
              <td>
                {answeredBy(zone)}
                {zone.resolver && (
                  <span className="sub">
                    certificates by Traefik's <code>{zone.resolver}</code>
                  </span>
                )}
                {zone.warning && <span className="field-error break">{zone.warning}</span>}
              </td>
              <td className="hide-small">
                <Records zone={zone} />
              </td>
              <td className="end">{onOpen && <Actions zone={zone} onOpen={onOpen} />}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function answeredBy(zone: Zone) {
  if (zone.mode === "proxy") return "The proxies";
  if (!zone.worker) return <span className="faint">no worker any more</span>;
  return zone.port ? `${zone.worker}, port ${zone.port}` : zone.worker;
}

function Records({ zone }: { zone: Zone }) {
  if (zone.records.length === 0) {
    return <span className="faint">*.{zone.suffix} to the hosts that answer</span>;
  }
  return zone.records.map((record) => (
    <span className="sub nowrap" key={record.value}>
      <code>
        {record.name} {record.kind} {record.value}
      </code>{" "}
      <Copy
        text={`${record.name}. ${record.kind} ${record.value}`}
        label={`Copy the record of ${record.node}`}
      />
    </span>
  ));
}

function Actions({ zone, onOpen }: { zone: Zone; onOpen: (open: Open) => void }) {
  return (
    <>
      {!zone.is_default && (
        <Button
          small
          onClick={() => onOpen({ prefer: zone })}
          aria-label={`Give new apps the zone ${zone.suffix}`}
        >
          For new apps
        </Button>
      )}
      <Button small onClick={() => onOpen({ change: zone })} aria-label={`Change ${zone.suffix}`}>
        Change
      </Button>
      {!zone.is_default && !zone.is_configured && (
        <Button
          small
          kind="danger-quiet"
          onClick={() => onOpen({ remove: zone })}
          aria-label={`Remove ${zone.suffix}`}
        >
          Remove
        </Button>
      )}
    </>
  );
}

function PreferDialog({ zone, onClose }: { zone: Zone; onClose: () => void }) {
  const update = useUpdateZone(zone.suffix);
  return (
    <Confirm
      title={`Give new apps the zone ${zone.suffix}?`}
      verb="Give new apps this zone"
      keep="Cancel"
      change={update}
      onConfirm={() => update.mutate({ default: true }, { onSuccess: onClose })}
      onClose={onClose}
    >
      <p className="muted">Apps that are there stay in their zones.</p>
    </Confirm>
  );
}

function RemoveDialog({ zone, onClose }: { zone: Zone; onClose: () => void }) {
  const remove = useDeleteZone();
  const toast = useToast();
  const confirm = () =>
    remove.mutate(zone.suffix, {
      onSuccess: () => {
        toast.done(`The zone ${zone.suffix} is removed`);
        onClose();
      },
    });
  return (
    <Confirm
      title={`Remove ${zone.suffix}?`}
      verb="Remove zone"
      keep="Keep"
      danger
      change={remove}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p className="muted">Only a zone without apps can be removed.</p>
    </Confirm>
  );
}
