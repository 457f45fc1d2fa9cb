import { asApiError } from "@/api/errors";
import { useReissue } from "@/api/mutations";
import type { CertificateDetail } from "@/api/types";
import { Confirm } from "@/components/confirm";
import { Notice } from "@/components/page";
import { useToast } from "@/components/toast";
import { cli } from "@/lib/cli";
import { exact } from "@/lib/time";

/** Asks once; and once more when there was an order a moment ago. */
export function ReissueDialog({ detail, onClose }: { detail: CertificateDetail; onClose: () => void }) {
  const { host, reissue_at } = detail;
  const reissue = useReissue(host);
  const toast = useToast();
  const recent = reissue.error && asApiError(reissue.error).code === "certificate_recent";
  const confirm = () =>
    reissue.mutate(Boolean(recent), {
      onSuccess: () => {
        toast.done(`A new certificate for ${host} is ordered`);
        onClose();
      },
    });
  return (
    <Confirm
      title={`Order a new certificate for ${host}?`}
      verb={recent ? "Order another one" : "Order"}
      command={cli.reissue(host)}
      change={reissue}
      disabled={Boolean(reissue_at)}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p className="muted">
        The one that is served stays until the new one is there. CAs count certificates for the same name.
      </p>
      {reissue_at && (
        <Notice tone="warn" title="Too many orders">
          <p>The CA would soon refuse this name. Try again from {exact(reissue_at)}.</p>
        </Notice>
      )}
    </Confirm>
  );
}
