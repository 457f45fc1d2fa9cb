import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useOutletContext, useSearchParams } from "react-router";
import { asApiError } from "@/api/errors";
import { useUpdateRoutes } from "@/api/mutations";
import { routesQuery } from "@/api/queries";
import type { App, RouteSettings } from "@/api/types";
import { Button } from "@/components/button";
import { Card, ErrorNotice, Skeleton } from "@/components/page";
import { useToast } from "@/components/toast";
import { Unsaved } from "@/components/unsaved";
import { AccessFields, BalanceFields, HeaderFields, LimitFields, RedirectFields } from "./fields";
import { formOf, optionsOf, patchOf, problemsOf, serverProblem } from "./form";
import { ForwardAuthFields } from "./forward-auth";
import { MaintenanceCard } from "./maintenance";

export function Component() {
  const app = useOutletContext<App>();
  const [query, setQuery] = useSearchParams();
  const domain = query.get("domain") || undefined;
  const ofApp = useQuery(routesQuery(app.slug));
  const settings = useQuery(routesQuery(app.slug, domain));
  const others = (ofApp.data?.hosts ?? []).filter((host) => host !== app.hostname);
  if (domain && !others.includes(domain)) others.push(domain);
  return (
    <div className="stack loose" style={{ maxWidth: 760 }}>
      {others.length > 0 && (
        <div className="row">
          <select
            className="select compact"
            aria-label="For"
            value={domain ?? ""}
            onChange={({ target }) => setQuery(target.value ? { domain: target.value } : {})}
          >
            <option value="">All names of {app.slug}</option>
            {others.map((host) => (
              <option key={host}>{host}</option>
            ))}
          </select>
          <span className="small muted">
            {domain
              ? "What you change here holds for this domain alone; the rest is the app's."
              : "Holds for all names, unless a domain says otherwise."}
          </span>
        </div>
      )}
      {settings.isError && <ErrorNotice error={settings.error} retry={settings.refetch} />}
      {settings.isPending && <Skeleton width={320} />}
      {settings.data && (
        <>
          <MaintenanceCard app={app.slug} domain={domain} settings={settings.data} />
          {domain && <OwnCard app={app.slug} domain={domain} settings={settings.data} />}
          <Editor
            key={`${domain} ${JSON.stringify(optionsOf(formOf(settings.data.effective)))}`}
            app={app.slug}
            domain={domain}
            settings={settings.data}
          />
        </>
      )}
    </div>
  );
}

/** In what a domain differs, and the way back. */
function OwnCard({ app, domain, settings }: { app: string; domain: string; settings: RouteSettings }) {
  const update = useUpdateRoutes(app, domain);
  const own = Object.keys(settings.own);
  if (own.length === 0) return null;
  return (
    <Card title="Of this domain alone" text="These take the place of the app's.">
      <ul className="stack tight">
        {own.map((name) => (
          <li className="row" key={name}>
            <code className="grow">{name}</code>
            <Button
              small
              busy={update.isPending}
              aria-label={`As the app: ${name}`}
              onClick={() => update.mutate({ unset: [name] })}
            >
              As the app
            </Button>
          </li>
        ))}
      </ul>
      {update.isError && <ErrorNotice error={update.error} />}
    </Card>
  );
}

interface EditorProps {
  app: string;
  domain: string | undefined;
  settings: RouteSettings;
}

function Editor({ app, domain, settings }: EditorProps) {
  const saved = formOf(settings.effective);
  const [form, setForm] = useState(saved);
  const update = useUpdateRoutes(app, domain);
  const toast = useToast();
  const error = update.error ? asApiError(update.error) : undefined;
  const own = problemsOf(form);
  const said = serverProblem(error?.field, error?.message ?? "");
  const problems = { ...said, ...own };
  const valid = Object.keys(own).length === 0;
  const changed = JSON.stringify(form) !== JSON.stringify(saved);
  const props = { form, onChange: setForm, problems };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!valid) return;
    update.mutate(patchOf(saved, form, domain !== undefined), {
      onSuccess: (next) => {
        setForm(formOf(next.effective));
        toast.done("Saved; every proxy has it within a second");
      },
    });
  };
  return (
    <form className="stack loose" onSubmit={submit} noValidate>
      <Card title="Access" text="Who gets in. Without either, everybody does.">
        <AccessFields {...props} />
      </Card>
      <Card
        title="Sign-in"
        text="A service that is asked about each request, such as oauth2-proxy or Authelia."
      >
        <ForwardAuthFields {...props} />
      </Card>
      <Card title="Redirects" text="Which requests are answered with another address.">
        <RedirectFields {...props} hosts={settings.hosts} />
      </Card>
      <Card title="Headers" text="What is changed on the way to the app and back.">
        <HeaderFields {...props} />
      </Card>
      <Card title="Limits" text="What one client may ask for, and how long the app may take.">
        <LimitFields {...props} />
      </Card>
      <Card title="Balancing" text="How requests are spread over the app's instances.">
        <BalanceFields {...props} />
      </Card>
      {error && Object.keys(said).length === 0 && <ErrorNotice error={error} />}
      <Unsaved
        what={`the routing of ${domain ?? app}`}
        changed={changed}
        busy={update.isPending}
        valid={valid}
        save="Save routing"
        onDiscard={() => setForm(saved)}
      />
    </form>
  );
}
