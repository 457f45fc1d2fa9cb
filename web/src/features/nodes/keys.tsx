import { useState } from "react";
import { useRevokeNode, useRotateNodeKey } from "@/api/mutations";
import type { Node } from "@/api/types";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Card, Notice } from "@/components/page";
import { Time } from "@/components/time";
import { useToast } from "@/components/toast";

/** The node's API key: another one, or none any more. */
export function KeyCard({ node }: { node: Node }) {
  const { revoked_at, rotation_asked_at, changed_at } = node.key;
  const [revoking, setRevoking] = useState(false);
  const rotate = useRotateNodeKey();
  const toast = useToast();
  if (revoked_at)
    return (
      <Card title="API key">
        <Notice tone="bad" title="Revoked">
          Since <Time at={revoked_at} />. Its keys are refused and nobody keeps a tunnel to it. To let the
          host in again, take it out there with <code>wisehosting-mesh leave</code>, then{" "}
          <code>wh node add {node.name}</code>.
        </Notice>
      </Card>
    );
  return (
    <Card title="API key">
      <div className="stack">
        <p className="small muted">
          {rotation_asked_at ? (
            <>
              The host was asked for another key <Time at={rotation_asked_at} />. The old one is good until
              the new one is used.
            </>
          ) : changed_at ? (
            <>
              Changed <Time at={changed_at} />.
            </>
          ) : (
            "The one with which it joined."
          )}
        </p>
        <div className="row wrap">
          <Button
            small
            busy={rotate.isPending || Boolean(rotation_asked_at)}
            onClick={() =>
              rotate.mutate(node.name, { onError: (error) => toast.failed("The key stays as it is", error) })
            }
          >
            Rotate key
          </Button>
          <Button small kind="danger-quiet" onClick={() => setRevoking(true)}>
            Revoke
          </Button>
        </div>
      </div>
      {revoking && <Revoke node={node} onClose={() => setRevoking(false)} />}
    </Card>
  );
}

function Revoke({ node, onClose }: { node: Node; onClose: () => void }) {
  const revoke = useRevokeNode();
  const toast = useToast();
  const confirm = () =>
    revoke.mutate(node.name, {
      onSuccess: () => {
        onClose();
        toast.done(`${node.name} is shut out`);
      },
    });
  return (
    <Confirm
      title={`Revoke ${node.name}?`}
      verb="Revoke"
      keep="Keep"
      danger
      typed={node.name}
      command={`wh node revoke ${node.name} --confirm ${node.name}`}
      change={revoke}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p className="muted">
        Its keys are refused at once, its connections are closed, and the other nodes drop it from their
        tunnels. It comes back only by joining anew.
      </p>
      {node.instances > 0 && (
        <Notice tone="warn" title={`${node.instances} instances should run there`}>
          Nobody reaches them any more. They stay listed until they are placed elsewhere.
        </Notice>
      )}
    </Confirm>
  );
}
