import { useState } from "react";
import { useNavigate } from "react-router";
import { useRestart, useScale, useStart, useStop } from "@/api/mutations";
import type { App, AppChanged } from "@/api/types";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { TextField } from "@/components/field";
import { Icon } from "@/components/icon";
import { Menu } from "@/components/menu";
import { useToast } from "@/components/toast";
import { cli } from "@/lib/cli";

type Open = "restart" | "scale" | "stop";

/** What changes of a running app without a new release. */
export function Power({ app }: { app: App }) {
  const [open, setOpen] = useState<Open>();
  const close = () => setOpen(undefined);
  if (!app.release) return null;
  return (
    <>
      {app.stopped_at && <StartButton app={app} />}
      <Menu
        label="More actions"
        trigger={<Icon name="chevron" />}
        triggerClass="button secondary icon"
        items={[
          ...(app.stopped_at
            ? []
            : [{ label: "Restart…", icon: "restart" as const, onSelect: () => setOpen("restart") }]),
          { label: "Scale…", icon: "apps", onSelect: () => setOpen("scale") },
          ...(app.stopped_at
            ? []
            : [{ label: "Stop…", icon: "stop" as const, danger: true, onSelect: () => setOpen("stop") }]),
        ]}
      />
      {open === "restart" && <RestartDialog app={app} onClose={close} />}
      {open === "scale" && <ScaleDialog app={app} onClose={close} />}
      {open === "stop" && <StopDialog app={app} onClose={close} />}
    </>
  );
}

/** To the deployment that does it; without one, `otherwise`. */
export function useFollow(app: App) {
  const navigate = useNavigate();
  return ({ deployment }: AppChanged, otherwise: () => void) =>
    deployment ? navigate(`/apps/${app.slug}/deployments/${deployment.id}`) : otherwise();
}

/** Asks before it restarts. */
export function RestartButton({ app }: { app: App }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button icon="restart" onClick={() => setOpen(true)}>
        Restart
      </Button>
      {open && <RestartDialog app={app} onClose={() => setOpen(false)} />}
    </>
  );
}

function StartButton({ app }: { app: App }) {
  const start = useStart(app.slug);
  const follow = useFollow(app);
  const toast = useToast();
  return (
    <Button
      icon="play"
      busy={start.isPending}
      onClick={() =>
        start.mutate(undefined, {
          onSuccess: (changed) => follow(changed, () => toast.done(`${app.slug} is not stopped`)),
          onError: (error) => toast.failed(`${app.slug} was not started`, error),
        })
      }
    >
      Start
    </Button>
  );
}

interface Props {
  app: App;
  onClose: () => void;
}

function RestartDialog({ app, onClose }: Props) {
  const restart = useRestart(app.slug);
  const follow = useFollow(app);
  return (
    <Confirm
      title={`Restart ${app.slug}?`}
      verb="Restart"
      command={cli.power(app.slug, "restart")}
      change={restart}
      onConfirm={() => restart.mutate(undefined, { onSuccess: (changed) => follow(changed, onClose) })}
      onClose={onClose}
    >
      <p className="muted">
        Starts new instances of the same release. The running ones serve until the new ones answer, so no
        request is lost.
      </p>
    </Confirm>
  );
}

function ScaleDialog({ app, onClose }: Props) {
  const [text, setText] = useState(String(app.settings.replicas));
  const scale = useScale(app.slug);
  const follow = useFollow(app);
  const replicas = /^\d+$/.test(text) ? Number(text) : 0;
  const valid = replicas >= 1 && replicas <= 100;
  const submit = () => scale.mutate(replicas, { onSuccess: (changed) => follow(changed, onClose) });
  return (
    <Confirm
      title={`Scale ${app.slug}`}
      verb="Scale"
      command={valid ? cli.scale(app.slug, replicas) : undefined}
      change={scale}
      disabled={!valid}
      onConfirm={submit}
      onClose={onClose}
    >
      <p className="muted">
        {app.stopped_at
          ? "The app is stopped; it takes the number when it starts."
          : "Only what is missing starts, and only what is too many stops. Nothing is built."}
      </p>
      <TextField
        label="Instances"
        inputMode="numeric"
        value={text}
        onChange={setText}
        error={valid ? undefined : "A number from 1 to 100; stop the app to have none."}
      />
    </Confirm>
  );
}

function StopDialog({ app, onClose }: Props) {
  const stop = useStop(app.slug);
  const toast = useToast();
  const confirm = () =>
    stop.mutate(undefined, {
      onSuccess: () => {
        toast.done(`${app.slug} is stopped`);
        onClose();
      },
    });
  return (
    <Confirm
      title={`Stop ${app.slug}?`}
      verb="Stop"
      keep="Keep running"
      danger
      command={cli.power(app.slug, "stop")}
      change={stop}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p className="muted">
        Requests that are under way end; then <b>{app.hostname}</b> answers that it is unavailable (503) until
        the app starts again. Release, variables and address stay.
      </p>
    </Confirm>
  );
}
