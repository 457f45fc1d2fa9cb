import { useState } from "react";
import { useRestartInstance } from "@/api/mutations";
import type { App, Instance } from "@/api/types";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { cli } from "@/lib/cli";
import { useFollow } from "./power";

/** Asks before one instance is replaced. */
export function RestartInstance({ app, instance }: { app: App; instance: Instance }) {
  const [open, setOpen] = useState(false);
  const restart = useRestartInstance(app.slug);
  const follow = useFollow(app);
  const name = instance.id.slice(-8);
  const close = () => {
    restart.reset();
    setOpen(false);
  };
  return (
    <>
      <Button
        small
        kind="ghost"
        icon="restart"
        aria-label={`Restart instance ${name}`}
        onClick={() => setOpen(true)}
      >
        Restart
      </Button>
      {open && (
        <Confirm
          title={`Restart instance ${name}?`}
          verb="Restart"
          command={cli.restartInstance(app.slug, instance.id)}
          change={restart}
          onConfirm={() => restart.mutate(instance.id, { onSuccess: (changed) => follow(changed, close) })}
          onClose={close}
        >
          <p className="muted">
            Starts a new instance of the same release in the place of this one on {instance.node.name}, which
            serves until the new one answers. The others are left alone, and no request is lost.
          </p>
        </Confirm>
      )}
    </>
  );
}
