import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { asApiError } from "@/api/errors";
import { useCreateNodeToken } from "@/api/mutations";
import { nodesQuery, nodeTokenQuery } from "@/api/queries";
import type { NewNodeToken } from "@/api/types";
import { Button, ButtonLink } from "@/components/button";
import { Code } from "@/components/copy";
import { Dialog } from "@/components/dialog";
import { Notice } from "@/components/page";
import { StatusMark } from "@/components/status";
import { Time } from "@/components/time";
import { sentence } from "@/lib/text";
import { Abilities } from "./capabilities";
import { emptyKind, KindFields, type KindValue, kindBody } from "./kind";
import { isIn, steps } from "./progress";
import { RegisterForm } from "./register";

export function AddNodeDialog({ onClose }: { onClose: () => void }) {
  const [byHand, setByHand] = useState(false);
  const create = useCreateNodeToken();
  return (
    <Dialog title={byHand ? "Enter a node by hand" : "Add node"} onClose={onClose}>
      {byHand ? (
        <RegisterForm onBack={() => setByHand(false)} onClose={onClose} />
      ) : create.data ? (
        <Waiting token={create.data} onClose={onClose} />
      ) : (
        <TokenForm create={create} onByHand={() => setByHand(true)} />
      )}
    </Dialog>
  );
}

function TokenForm({
  create,
  onByHand,
}: {
  create: ReturnType<typeof useCreateNodeToken>;
  onByHand: () => void;
}) {
  const [kind, setKind] = useState<KindValue>(emptyKind);
  const body = kindBody(kind);
  const error = create.error ? asApiError(create.error) : undefined;
  return (
    <form
      className="stack"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (body) create.mutate({ ...body, name: kind.name.trim() || null });
      }}
    >
      <p className="muted">A node joins with a token that works once and ends after an hour.</p>
      <KindFields
        value={kind}
        onChange={setKind}
        error={error}
        nameHelp="Only a host of this name may use the token then."
      />
      <Button
        kind="primary"
        type="submit"
        busy={create.isPending}
        disabled={kind.roles.length === 0 || !body}
      >
        Create token
      </Button>
      <p className="small faint">A host that does not reach this control plane yet can be entered by hand.</p>
      <div>
        <Button small kind="ghost" onClick={onByHand}>
          Enter by hand
        </Button>
      </div>
    </form>
  );
}

const POLL_MS = 2_000;

/** Shows the line to run and tells, live, how far the host is. */
function Waiting({ token, onClose }: { token: NewNodeToken; onClose: () => void }) {
  const { data: state } = useQuery(nodeTokenQuery(token.id, POLL_MS));
  const { data: nodes = [] } = useQuery({ ...nodesQuery, refetchInterval: POLL_MS });
  const node = state?.used_by ? nodes.find((one) => one.name === state.used_by) : undefined;
  const all = steps(state, node);
  const current = all.findIndex((step) => !step.done);
  return (
    <div className="stack">
      <p className="muted">Run this on the new host. The token is shown only now.</p>
      <Code text={token.command} prompt wrap />
      <details>
        <summary className="small">A host with NixOS is set up with this module first</summary>
        <Code text={token.nixos} />
      </details>
      <p className="small faint">
        The token ends <Time at={token.expires_at} />. It stays valid when this is closed.
      </p>
      {state?.refusal && (
        <Notice tone="warn" title="A host was refused">
          {sentence(state.refusal)}.
        </Notice>
      )}
      <ul
        className={node && isIn(node) ? "waiting-node steps in" : "waiting-node steps"}
        aria-live="polite"
        aria-label="Progress"
      >
        {all.map((step, index) => (
          <li key={step.key} className={step.done || index === current ? undefined : "faint"}>
            <StatusMark tone={step.done ? "ok" : index === current ? "busy" : "idle"} />
            {step.text}
          </li>
        ))}
      </ul>
      {node && (
        <>
          <Abilities node={node} />
          {node.warnings.map((warning) => (
            <Notice tone="warn" title="This host needs a look" key={warning}>
              {sentence(warning)}.
            </Notice>
          ))}
        </>
      )}
      <div className="row" style={{ justifyContent: "flex-end" }}>
        <Button onClick={onClose}>Close</Button>
        {node && (
          <ButtonLink kind="primary" to={`/nodes/${node.name}`}>
            Look at {node.name}
          </ButtonLink>
        )}
      </div>
    </div>
  );
}
