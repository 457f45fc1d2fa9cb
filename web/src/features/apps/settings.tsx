import { type FormEvent, useState } from "react";
import { useOutletContext } from "react-router";
import { asApiError } from "@/api/errors";
import { useUpdateApp } from "@/api/mutations";
import type { App } from "@/api/types";
import { AreaField } from "@/components/field";
import { Card, ErrorNotice } from "@/components/page";
import { useToast } from "@/components/toast";
import { Unsaved } from "@/components/unsaved";
import { BuildFields } from "./build";
import { DeleteApp } from "./deletion";
import {
  CrashGuardFields,
  formOf,
  ProbeFields,
  patchOf,
  problemsOf,
  ResourceFields,
  ServeFields,
  serverProblem,
} from "./form";
import { GitAccessCard } from "./git";
import { IsolationFields } from "./isolation";
import { PlacementFields } from "./placement";
import { DeployFields } from "./rollout";
import { ZoneCard } from "./zone";

export function Component() {
  const app = useOutletContext<App>();
  const saved = formOf(app.settings);
  const [form, setForm] = useState(saved);
  const update = useUpdateApp(app.slug);
  const toast = useToast();
  const error = update.error ? asApiError(update.error) : undefined;
  const problems = { ...problemsOf(form), ...serverProblem(error?.field, error?.message ?? "") };
  const changed = JSON.stringify(form) !== JSON.stringify(saved);
  const valid = Object.keys(problemsOf(form)).length === 0;
  const props = { form, onChange: setForm, problems };

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!valid) return;
    update.mutate(patchOf(form), {
      onSuccess: (next) => {
        setForm(formOf(next.settings));
        toast.done("Settings saved; the next release uses them", {
          to: `/apps/${app.slug}`,
          label: "To the overview",
        });
      },
    });
  };
  return (
    <div className="stack loose" style={{ maxWidth: 760 }}>
      <form className="stack loose" onSubmit={submit} noValidate>
        <Card title="Build" text="How the image is made of the source. Takes effect with the next build.">
          <BuildFields {...props} />
        </Card>
        <Card title="Serving" text="Takes effect with the next release.">
          <ServeFields {...props} />
        </Card>
        <Card title="Probe" text="How we find out, from outside the container, that an instance serves.">
          <ProbeFields {...props} />
        </Card>
        <Card
          title="Roll-out"
          text="How a release takes the place of the one before. No request is dropped either way."
        >
          <DeployFields {...props} />
        </Card>
        <Card title="Resources" text="What one instance may use.">
          <ResourceFields {...props} />
        </Card>
        <Card
          title="Isolation"
          text="What keeps an instance apart from its host and its neighbours. Takes effect with the next release."
        >
          <IsolationFields {...props} />
        </Card>
        <Card title="Crash guard" text="When an instance that ends by itself is not started again any more.">
          <CrashGuardFields {...props} />
        </Card>
        <Card
          title="Placement"
          text="On which nodes instances may be. Holds for what starts from now on; those that run stay."
        >
          <PlacementFields {...props} />
        </Card>
        <Card title="Command" text="Replaces the image's command.">
          <AreaField
            label="Arguments"
            optional
            help="One per line; no shell reads them."
            value={form.command}
            onChange={(command) => setForm({ ...form, command })}
            error={problems.command}
          />
        </Card>
        {error && Object.keys(serverProblem(error.field, "x")).length === 0 && <ErrorNotice error={error} />}
        <Unsaved
          what={`the settings of ${app.slug}`}
          changed={changed}
          busy={update.isPending}
          valid={valid}
          save="Save settings"
          onDiscard={() => setForm(saved)}
        />
      </form>
      <ZoneCard app={app} />
      <GitAccessCard app={app.slug} />
      <DeleteApp app={app} />
    </div>
  );
}
