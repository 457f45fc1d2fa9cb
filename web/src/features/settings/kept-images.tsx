import { useState } from "react";
import { asApiError } from "@/api/errors";
import { useKeepImages } from "@/api/mutations";
import type { Registry } from "@/api/types";
import { Button } from "@/components/button";
import { Dialog } from "@/components/dialog";
import { TextField } from "@/components/field";
import { ErrorNotice } from "@/components/page";
import { useToast } from "@/components/toast";

/** What a registry has of built images, and what is in the way of more. */
export function KeptImages({ registry }: { registry: Registry }) {
  const {
    images_path: path,
    images_kept: kept,
    images_waiting: waiting,
    image_problems: problems,
  } = registry;
  if (!path && kept === 0 && waiting === 0) return <span className="muted">None</span>;
  return (
    <>
      {path ? `${kept} in ${path}/` : `${kept}, no new ones`}
      {waiting > 0 && <span className="sub">{waiting} waiting</span>}
      {problems.map((problem) => (
        <span className="sub" key={problem}>
          Cannot {problem}
        </span>
      ))}
    </>
  );
}

/** Chooses the registry as the place of built images, or no longer. */
export function KeepDialog({ registry, onClose }: { registry: Registry; onClose: () => void }) {
  const { host, images_path: used } = registry;
  const [path, setPath] = useState(used ?? "wisehosting");
  const keep = useKeepImages();
  const toast = useToast();
  const error = keep.error ? asApiError(keep.error) : undefined;
  const change = (path: string | null, said: string) =>
    keep.mutate(
      { host, path },
      {
        onSuccess: () => {
          toast.done(said);
          onClose();
        },
      },
    );
  return (
    <Dialog
      title={`Keep built images at ${host}`}
      onClose={onClose}
      onSubmit={() => change(path.trim(), `Built images are kept at ${host} as well`)}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          {used && (
            <Button
              kind="danger-quiet"
              busy={keep.isPending}
              onClick={() => change(null, `No more images are pushed to ${host}`)}
            >
              Push no more
            </Button>
          )}
          <Button kind="primary" type="submit" busy={keep.isPending} disabled={!path.trim()}>
            Keep images here
          </Button>
        </>
      }
    >
      <p className="muted">
        Each kept image is pushed here besides the workers, in place of any other registry. The login has to
        be one that may push.
      </p>
      <TextField
        label="Path"
        mono
        help={`Images are named ${host}/${path.trim() || "PATH"}/APP:v3.`}
        value={path}
        onChange={setPath}
        error={error?.field === "path" ? error.message : undefined}
      />
      {error && error.field !== "path" && <ErrorNotice error={error} />}
    </Dialog>
  );
}
