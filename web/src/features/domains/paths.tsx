import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { usePutPath, useRemovePath } from "@/api/domains";
import { asApiError } from "@/api/errors";
import { appsQuery } from "@/api/queries";
import type { App, Domain } from "@/api/types";
import { Button } from "@/components/button";
import { Dialog } from "@/components/dialog";
import { TextField } from "@/components/field";
import { ErrorNotice } from "@/components/page";
import { AppField } from "./dialogs";

interface Props {
  app: App;
  domain: Domain;
  mayChange: boolean;
}

/** Paths of the domain that lead to other apps. */
export function Paths({ app, domain, mayChange }: Props) {
  const [adding, setAdding] = useState(false);
  const remove = useRemovePath(app.slug, domain.hostname);
  return (
    <section aria-label={`Paths of ${domain.hostname}`}>
      <div className="row between wrap">
        <h3>Paths</h3>
        {mayChange && (
          <Button small onClick={() => setAdding(true)}>
            Lead a path elsewhere
          </Button>
        )}
      </div>
      {domain.paths.length === 0 && <p className="small faint">All requests go to {app.slug}.</p>}
      {domain.paths.length > 0 && (
        <ul className="plain stack tight">
          {domain.paths.map((path) => (
            <li key={path.id} className="row between wrap">
              <span className="break">
                <code>{path.path}</code> → {path.app}
                {path.strip_prefix && <span className="faint"> without the prefix</span>}
              </span>
              {mayChange && (
                <Button
                  small
                  kind="danger-quiet"
                  busy={remove.isPending && remove.variables === path.id}
                  onClick={() => remove.mutate(path.id)}
                  aria-label={`Remove the path ${path.path}`}
                >
                  Remove
                </Button>
              )}
            </li>
          ))}
        </ul>
      )}
      {remove.isError && <ErrorNotice error={remove.error} />}
      {adding && <PathDialog app={app} domain={domain} onClose={() => setAdding(false)} />}
    </section>
  );
}

function PathDialog({ app, domain, onClose }: { app: App; domain: Domain; onClose: () => void }) {
  const [path, setPath] = useState("/");
  const [to, setTo] = useState("");
  const [strip, setStrip] = useState(false);
  const apps = useQuery(appsQuery);
  const put = usePutPath(app.slug, domain.hostname);
  const error = put.error ? asApiError(put.error) : undefined;
  const siblings = apps.data?.filter(
    ({ project, slug }) => project.id === app.project.id && slug !== app.slug,
  );
  const save = () => put.mutate({ path: path.trim(), app: to, strip_prefix: strip }, { onSuccess: onClose });
  return (
    <Dialog
      title={`Lead a path of ${domain.hostname} elsewhere`}
      onClose={onClose}
      onSubmit={() => to && !put.isPending && save()}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={put.isPending} disabled={!to}>
            Lead there
          </Button>
        </>
      }
    >
      <TextField
        label="Path"
        mono
        autoFocus
        placeholder="/api"
        help="It and all below it; of several that fit the longest counts."
        value={path}
        onChange={setPath}
        error={error?.field === "path" ? error.message : undefined}
      />
      <AppField
        label="App of this project"
        apps={siblings?.map(({ slug }) => slug) ?? []}
        value={to}
        onChange={setTo}
      />
      <label className="checkbox">
        <input type="checkbox" checked={strip} onChange={(event) => setStrip(event.target.checked)} />
        <span>That app sees the path without the prefix</span>
      </label>
      {error && error.field !== "path" && <ErrorNotice error={error} />}
    </Dialog>
  );
}
