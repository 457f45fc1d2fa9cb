import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useAddDomain, useMoveDomain, useRemoveDomain } from "@/api/domains";
import { asApiError } from "@/api/errors";
import { appsQuery } from "@/api/queries";
import type { Domain } from "@/api/types";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Dialog } from "@/components/dialog";
import { Field, TextField } from "@/components/field";
import { ErrorNotice } from "@/components/page";
import { useToast } from "@/components/toast";
import { cli } from "@/lib/cli";

interface AddProps {
  app: string;
  onClose: () => void;
}

export function AddDialog({ app, onClose }: AddProps) {
  const [hostname, setHostname] = useState("");
  const add = useAddDomain(app);
  const error = add.error ? asApiError(add.error) : undefined;
  const wrong = error?.field === "hostname";
  return (
    <Dialog
      title="Add a domain"
      onClose={onClose}
      onSubmit={() =>
        hostname.trim() && !add.isPending && add.mutate(hostname.trim(), { onSuccess: onClose })
      }
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={add.isPending} disabled={!hostname.trim()}>
            Add domain
          </Button>
        </>
      }
    >
      <TextField
        label="Host name"
        autoFocus
        mono
        autoComplete="off"
        placeholder="www.example.com"
        help={
          error && wrong && error.hint
            ? error.hint
            : "Whole, as visitors type it; *.example.com takes all names below it."
        }
        value={hostname}
        onChange={setHostname}
        error={wrong ? error?.message : undefined}
      />
      {error && !wrong && <ErrorNotice error={error} />}
    </Dialog>
  );
}

interface Props {
  app: string;
  domain: Domain;
  onClose: () => void;
}

export function RemoveDialog({ app, domain, onClose }: Props) {
  const remove = useRemoveDomain(app);
  const toast = useToast();
  const confirm = () =>
    remove.mutate(domain.hostname, {
      onSuccess: () => {
        toast.done(`${domain.hostname} is removed`);
        onClose();
      },
    });
  return (
    <Confirm
      title={`Remove ${domain.hostname}?`}
      verb="Remove domain"
      keep="Keep"
      danger
      command={cli.removeDomain(app, domain.hostname)}
      change={remove}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p className="muted">
        {domain.state === "verified"
          ? "The proxies answer for it no more from that moment on. To have it back, its DNS has to show a new record."
          : "It is not served; its DNS records can go as well."}
      </p>
    </Confirm>
  );
}

export function MoveDialog({ app, domain, onClose }: Props) {
  const [to, setTo] = useState("");
  const apps = useQuery(appsQuery);
  const move = useMoveDomain(app);
  const toast = useToast();
  const others = apps.data?.filter(({ slug }) => slug !== app) ?? [];
  const confirm = () =>
    move.mutate(
      { hostname: domain.hostname, to },
      {
        onSuccess: (moved) => {
          toast.done(`${moved.hostname} leads to ${moved.app}`);
          onClose();
        },
      },
    );
  return (
    <Confirm
      title={`Move ${domain.hostname} to another app`}
      verb="Move domain"
      command={to ? cli.moveDomain(app, domain.hostname, to) : undefined}
      change={move}
      disabled={!to}
      onConfirm={confirm}
      onClose={onClose}
    >
      <AppField label="App" apps={others.map(({ slug }) => slug)} value={to} onChange={setTo} />
      <p className="muted">
        It stays verified and keeps its certificate: requests go to the other app at once.
      </p>
    </Confirm>
  );
}

interface AppFieldProps {
  label: string;
  apps: string[];
  value: string;
  onChange: (app: string) => void;
}

export function AppField({ label, apps, value, onChange }: AppFieldProps) {
  return (
    <Field label={label}>
      {(control) => (
        <select
          className="select"
          value={value}
          onChange={(event) => onChange(event.target.value)}
          {...control}
        >
          <option value="">Choose an app</option>
          {apps.map((slug) => (
            <option key={slug}>{slug}</option>
          ))}
        </select>
      )}
    </Field>
  );
}
