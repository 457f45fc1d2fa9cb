import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { asApiError } from "@/api/errors";
import { nodesQuery } from "@/api/queries";
import { useCreateZone, useUpdateZone, type Zone } from "@/api/zones";
import { Button } from "@/components/button";
import { Dialog } from "@/components/dialog";
import { Field, TextField } from "@/components/field";
import { ErrorNotice } from "@/components/page";
import { useToast } from "@/components/toast";

/** A new zone, or who answers for one that is there. */
export function ZoneDialog({ zone, onClose }: { zone?: Zone; onClose: () => void }) {
  const nodes = useQuery(nodesQuery);
  const [suffix, setSuffix] = useState(zone?.suffix ?? "");
  const [worker, setWorker] = useState(zone?.worker ?? "");
  const [port, setPort] = useState(String(zone?.port ?? 8080));
  const [resolver, setResolver] = useState(zone?.resolver ?? "");
  const create = useCreateZone();
  const update = useUpdateZone(suffix);
  const change = zone ? update : create;
  const toast = useToast();
  const error = change.error ? asApiError(change.error) : undefined;
  const of = (field: string) => (error?.field === field ? error.message : undefined);
  const answer = worker
    ? { mode: "direct" as const, worker, port: Number(port) || null }
    : { mode: "proxy" as const, resolver: resolver.trim() };
  const done = () => {
    toast.done(zone ? `The zone ${suffix} is changed` : `The zone ${suffix.trim()} is added`);
    onClose();
  };
  const save = () => {
    if (zone) update.mutate(answer, { onSuccess: done });
    else create.mutate({ suffix: suffix.trim(), ...answer }, { onSuccess: done });
  };
  const workers = (nodes.data ?? []).filter((node) => node.roles.includes("worker"));
  return (
    <Dialog
      title={zone ? `Change ${zone.suffix}` : "New zone"}
      onClose={onClose}
      onSubmit={save}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={change.isPending} disabled={suffix.trim() === ""}>
            {zone ? "Save" : "Add zone"}
          </Button>
        </>
      }
    >
      {!zone && (
        <TextField
          label="Suffix"
          autoFocus
          mono
          placeholder="de.example.com"
          help="Apps are served at name.suffix. It is a name below a domain of yours."
          value={suffix}
          onChange={setSuffix}
          error={of("suffix")}
        />
      )}
      <Field
        label="Answered by"
        help={
          worker
            ? "In plain HTTP, by the worker's own ingress: set `ingress` in its worker.toml. Certificates are the proxies' alone."
            : "On ports 80 and 443, with certificates."
        }
        error={of("worker")}
      >
        {(control) => (
          <select
            className="select"
            value={worker}
            onChange={(event) => setWorker(event.target.value)}
            {...control}
          >
            <option value="">The proxies</option>
            {workers.map((node) => (
              <option key={node.id} value={node.name}>
                {node.name} itself
              </option>
            ))}
          </select>
        )}
      </Field>
      {worker && (
        <TextField
          label="Port"
          inputMode="numeric"
          help="At which visitors reach it. 443 says that something in front of it speaks HTTPS."
          value={port}
          onChange={setPort}
          error={of("port")}
        />
      )}
      {!worker && (
        <TextField
          label="Traefik's certificate resolver"
          mono
          placeholder="none: certificates are ordered here"
          help="Only for a zone whose proxies are all Traefik: the name of a resolver of theirs, which orders and renews its certificates."
          value={resolver}
          onChange={setResolver}
          error={of("resolver")}
        />
      )}
      {error && !["suffix", "worker", "port", "resolver"].includes(error.field ?? "") && (
        <ErrorNotice error={error} />
      )}
    </Dialog>
  );
}
