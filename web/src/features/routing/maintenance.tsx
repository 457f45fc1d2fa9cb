import { useState } from "react";
import { asApiError } from "@/api/errors";
import { useUpdateRoutes } from "@/api/mutations";
import type { RouteSettings, RoutesPatch } from "@/api/types";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { AreaField, TextField } from "@/components/field";
import { Card, Notice } from "@/components/page";
import { useToast } from "@/components/toast";
import { cli } from "@/lib/cli";

interface Props {
  app: string;
  domain?: string | undefined;
  settings: RouteSettings;
}

/** One switch: the app, or a page that says it is closed. */
export function MaintenanceCard({ app, domain, settings }: Props) {
  const [open, setOpen] = useState(false);
  const update = useUpdateRoutes(app, domain);
  const toast = useToast();
  const maintenance = settings.effective.maintenance;
  const inherited = domain && settings.origins.maintenance === "app";
  const end = () => {
    const patch: RoutesPatch = inherited ? { set: { maintenance: null } } : { unset: ["maintenance"] };
    update.mutate(patch, {
      onSuccess: () => toast.done("Visitors reach the app again"),
      onError: (error) => toast.failed("The maintenance was not ended", error),
    });
  };
  return (
    <Card
      title="Maintenance"
      text="Visitors get a page that says the app is closed for a while (503). Instances keep running."
      actions={
        maintenance ? (
          <Button kind="primary" busy={update.isPending} onClick={end}>
            Open again
          </Button>
        ) : (
          <Button onClick={() => setOpen(true)}>Close for maintenance…</Button>
        )
      }
    >
      {maintenance ? (
        <Notice tone="warn" title={`${domain ?? app} is closed for maintenance`}>
          {maintenance.message || "Visitors read a general sentence."}
          {(maintenance.allow ?? []).length > 0 &&
            ` Clients of ${maintenance.allow?.join(", ")} still get in.`}
        </Notice>
      ) : (
        <p className="muted">The app is open.</p>
      )}
      {open && <CloseDialog app={app} domain={domain} onClose={() => setOpen(false)} />}
    </Card>
  );
}

function CloseDialog({ app, domain, onClose }: Omit<Props, "settings"> & { onClose: () => void }) {
  const [form, setForm] = useState({ message: "", retryAfter: "", allow: "" });
  const update = useUpdateRoutes(app, domain);
  const toast = useToast();
  const networks = form.allow.split(/\s+/).filter(Boolean);
  const seconds = form.retryAfter.trim();
  const valid = seconds === "" || /^[1-9]\d*$/.test(seconds);
  const field = asApiError(update.error).field;
  const submit = () => {
    const maintenance = {
      ...(form.message.trim() && { message: form.message.trim() }),
      ...(seconds && { retry_after_s: Number(seconds) }),
      ...(networks.length > 0 && { allow: networks }),
    };
    update.mutate(
      { set: { maintenance } },
      {
        onSuccess: () => {
          toast.done(`${domain ?? app} is closed for maintenance`);
          onClose();
        },
      },
    );
  };
  return (
    <Confirm
      title={`Close ${domain ?? app} for maintenance?`}
      verb="Close the app"
      keep="Keep open"
      danger
      command={cli.maintenance(app, domain, form.message.trim())}
      change={update}
      disabled={!valid}
      onConfirm={submit}
      onClose={onClose}
    >
      <p className="muted">Every proxy shows the page within a second, until you open the app again.</p>
      <AreaField
        label="Message for visitors"
        optional
        rows={2}
        placeholder="We are back at five o'clock."
        value={form.message}
        onChange={(message) => setForm({ ...form, message })}
      />
      <TextField
        label="Programs may come again after"
        suffix="s"
        optional
        inputMode="numeric"
        value={form.retryAfter}
        onChange={(retryAfter) => setForm({ ...form, retryAfter })}
        error={valid ? undefined : "A whole number above 0, or nothing."}
      />
      <TextField
        label="Networks that still get in"
        optional
        mono
        placeholder="203.0.113.7"
        help="Yours, for example, to look at the app meanwhile."
        value={form.allow}
        onChange={(allow) => setForm({ ...form, allow })}
        error={
          field?.startsWith("maintenance.allow") ? "One of these is no address and no network." : undefined
        }
      />
    </Confirm>
  );
}
