import { useState } from "react";
import { asApiError } from "@/api/errors";
import { useRegisterNode } from "@/api/mutations";
import { Button, ButtonLink } from "@/components/button";
import { Code } from "@/components/copy";
import { TextField } from "@/components/field";
import { emptyKind, KindFields, type KindValue, kindBody } from "./kind";

/** A host whose key somebody types in; answers with what to put on it. */
export function RegisterForm({ onBack, onClose }: { onBack: () => void; onClose: () => void }) {
  const register = useRegisterNode();
  const [kind, setKind] = useState<KindValue>(emptyKind);
  const [publicKey, setPublicKey] = useState("");
  const [endpoint, setEndpoint] = useState("");
  const body = kindBody(kind);
  const error = register.error ? asApiError(register.error) : undefined;
  const own = error?.field === "public_key" || error?.field === "endpoint";
  if (register.data) {
    const { node, command } = register.data;
    return (
      <div className="stack">
        <p className="muted">
          {node.name} is entered. Run this on it: it holds the node's identity and API key, which are shown
          only now.
        </p>
        <Code text={command} prompt wrap />
        <div className="row" style={{ justifyContent: "flex-end" }}>
          <Button onClick={onClose}>Close</Button>
          <ButtonLink kind="primary" to={`/nodes/${node.name}`}>
            Look at {node.name}
          </ButtonLink>
        </div>
      </div>
    );
  }
  return (
    <form
      className="stack"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (!body) return;
        register.mutate({
          ...body,
          name: kind.name.trim(),
          public_key: publicKey.trim(),
          endpoint: endpoint.trim() || null,
        });
      }}
    >
      <p className="muted">
        Start wisehosting-mesh on the host once: it makes a key pair and waits. Its public key is in{" "}
        <code>/var/lib/wisehosting/mesh/public.key</code>.
      </p>
      <KindFields
        value={kind}
        onChange={setKind}
        error={own ? undefined : error}
        nameHelp="As node.name in the host's mesh.toml."
        nameNeeded
      />
      <TextField
        label="Public key"
        mono
        value={publicKey}
        onChange={setPublicKey}
        error={error?.field === "public_key" ? error.message : undefined}
      />
      <TextField
        label="Endpoint"
        optional
        mono
        placeholder="198.51.100.20:51821"
        help="Where others reach its tunnel: address and UDP port."
        value={endpoint}
        onChange={setEndpoint}
        error={error?.field === "endpoint" ? error.message : undefined}
      />
      <div className="row between">
        <Button onClick={onBack}>Back</Button>
        <Button
          kind="primary"
          type="submit"
          busy={register.isPending}
          disabled={kind.roles.length === 0 || !body || !kind.name.trim() || !publicKey.trim()}
        >
          Enter node
        </Button>
      </div>
    </form>
  );
}
