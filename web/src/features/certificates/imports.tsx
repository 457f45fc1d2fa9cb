import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useRemoveCertificate } from "@/api/mutations";
import { importsQuery } from "@/api/queries";
import type { ImportedCertificate } from "@/api/types";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Card } from "@/components/page";
import { Time } from "@/components/time";
import { useToast } from "@/components/toast";
import { cli } from "@/lib/cli";

/** The certificates that people brought; nothing while there are none. */
export function Imports({ mayRemove }: { mayRemove: boolean }) {
  const imports = useQuery(importsQuery);
  const [removing, setRemoving] = useState<ImportedCertificate>();
  if (!imports.data || imports.data.length === 0) return null;
  return (
    <Card title="Imported" text="Served in place of ordered ones until they end." flush>
      <div className="table-wrap">
        <table className="table">
          <thead>
            <tr>
              <th>Names</th>
              <th>Served for</th>
              <th className="hide-small">Ends</th>
              <th className="end">
                <span className="visually-hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {imports.data.map((imported) => (
              <tr key={imported.id}>
                <td>
                  {imported.names.join(", ")}
                  <span className="sub">{imported.issuer}</span>
                  {imported.notes.map((note) => (
                    <span className="sub" key={note}>
                      {note}
                    </span>
                  ))}
                </td>
                <td>{imported.hosts.join(", ") || <span className="faint">nothing</span>}</td>
                <td className="hide-small">
                  <Time at={imported.not_after} />
                  <span className="sub">
                    by {imported.imported_by}, <Time at={imported.imported_at} />
                  </span>
                </td>
                <td className="end">
                  {mayRemove && (
                    <Button
                      small
                      kind="danger-quiet"
                      onClick={() => setRemoving(imported)}
                      aria-label={`Remove ${imported.names[0]}`}
                    >
                      Remove
                    </Button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {removing && <RemoveDialog imported={removing} onClose={() => setRemoving(undefined)} />}
    </Card>
  );
}

function RemoveDialog({ imported, onClose }: { imported: ImportedCertificate; onClose: () => void }) {
  const remove = useRemoveCertificate();
  const toast = useToast();
  const name = imported.names[0] ?? "";
  const confirm = () =>
    remove.mutate(imported, {
      onSuccess: () => {
        toast.done(`The certificate for ${name} is removed`);
        onClose();
      },
    });
  return (
    <Confirm
      title={`Remove the certificate for ${name}?`}
      verb="Remove"
      keep="Keep"
      danger
      typed={name}
      command={cli.removeCertificate(name)}
      change={remove}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p className="muted">
        Its key is forgotten. The proxies serve the certificate that they ordered before, or order one now.
      </p>
    </Confirm>
  );
}
