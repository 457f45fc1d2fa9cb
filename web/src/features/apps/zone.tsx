import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { App } from "@/api/types";
import { useMoveApp, zonesQuery } from "@/api/zones";
import { Button } from "@/components/button";
import { Field } from "@/components/field";
import { Card, ErrorNotice } from "@/components/page";
import { useToast } from "@/components/toast";

/** Which zone the app is served in; nothing to choose while there is one. */
export function ZoneCard({ app }: { app: App }) {
  const { data: zones } = useQuery(zonesQuery);
  const own = app.hostname.slice(app.slug.length + 1);
  const [zone, setZone] = useState(own);
  const move = useMoveApp(app.slug);
  const toast = useToast();
  if (!zones || zones.length < 2) return null;
  return (
    <Card
      title="Zone"
      text="Takes effect at once: the app’s name in its zone before is no longer answered."
      footer={
        <Button
          busy={move.isPending}
          disabled={zone === own}
          onClick={() =>
            move.mutate(zone, { onSuccess: (moved) => toast.done(`Served at ${moved.hostname} from now on`) })
          }
        >
          Move to this zone
        </Button>
      }
    >
      <Field label="Served in">
        {(control) => (
          <select
            className="select"
            value={zone}
            onChange={(event) => setZone(event.target.value)}
            {...control}
          >
            {zones.map((zone) => (
              <option key={zone.id} value={zone.suffix}>
                {app.slug}.{zone.suffix}
                {zone.mode === "direct" && zone.worker ? ` (${zone.worker} itself)` : ""}
              </option>
            ))}
          </select>
        )}
      </Field>
      {move.error && <ErrorNotice error={move.error} />}
    </Card>
  );
}
