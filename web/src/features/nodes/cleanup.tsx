import { useQuery } from "@tanstack/react-query";
import { cleanupPreviewQuery, useCleanUp } from "@/api/nodes";
import { Confirm } from "@/components/confirm";
import { ErrorNotice, Skeleton } from "@/components/page";
import { useToast } from "@/components/toast";
import { bytes } from "@/lib/bytes";
import { sentence } from "@/lib/text";

/** Shows what would go, asked of the worker just now, and removes that and nothing else. */
export function CleanupDialog({ name, onClose }: { name: string; onClose: () => void }) {
  const { data: preview, error, isFetching, refetch } = useQuery(cleanupPreviewQuery(name));
  const cleanUp = useCleanUp(name);
  const toast = useToast();
  const images = preview?.images ?? [];
  const confirm = () =>
    cleanUp.mutate(
      images.map((image) => image.id),
      {
        onSuccess: () => {
          onClose();
          toast.done(`${name} is cleaned up`);
        },
      },
    );
  return (
    <Confirm
      title={`Clean up ${name}?`}
      verb={images.length > 0 ? `Remove ${images.length}` : "Remove"}
      danger
      command={`wh node gc ${name}`}
      change={cleanUp}
      disabled={images.length === 0}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p className="muted">
        Images that no container, release or app of this worker needs. What apps keep goes by its own rules,
        and volumes never go.
      </p>
      {error && !isFetching && <ErrorNotice error={error} retry={refetch} />}
      {!preview && isFetching && <Skeleton width={240} />}
      {preview && images.length === 0 && <p>There is nothing that can go.</p>}
      {preview && images.length > 0 && (
        <>
          <div className="table-wrap">
            <table className="table">
              <tbody>
                {images.map((image) => (
                  <tr key={image.id}>
                    <td>
                      <span className="cut">{image.names[0] ?? "no name"}</span>
                      <span className="sub">{sentence(image.reason)}</span>
                    </td>
                    <td className="end num nowrap">{bytes(image.frees_bytes)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <p className="num">About {bytes(preview.frees_bytes)} in all.</p>
        </>
      )}
    </Confirm>
  );
}
