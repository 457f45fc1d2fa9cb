import { useState } from "react";
import { asApiError } from "@/api/errors";
import { usePutDnsProvider } from "@/api/mutations";
import { Button } from "@/components/button";
import { Dialog } from "@/components/dialog";
import { Choices, TextField } from "@/components/field";
import { ErrorNotice } from "@/components/page";
import { useToast } from "@/components/toast";

type Kind = "cloudflare" | "rfc2136";

/** Stores a DNS provider: where the zone is, and the secret that may change it. */
export function AddDnsProvider({ mayBePlatform, onClose }: { mayBePlatform: boolean; onClose: () => void }) {
  const [kind, setKind] = useState<Kind>("cloudflare");
  const [scope, setScope] = useState<"platform" | "organization">(
    mayBePlatform ? "platform" : "organization",
  );
  const [zone, setZone] = useState("");
  const [server, setServer] = useState("");
  const [keyName, setKeyName] = useState("");
  const [secret, setSecret] = useState("");
  const put = usePutDnsProvider();
  const toast = useToast();
  const error = put.error ? asApiError(put.error) : undefined;
  const of = (...fields: string[]) => (fields.includes(error?.field ?? "") ? error?.message : undefined);
  const known = ["zone", "server", "key_name", "secret", "token"].includes(error?.field ?? "");
  const complete = zone.trim() && secret && (kind === "cloudflare" || (server.trim() && keyName.trim()));
  const save = () =>
    put.mutate(
      {
        zone: zone.trim(),
        platform: scope === "platform",
        settings:
          kind === "cloudflare"
            ? { kind, token: secret.trim() }
            : { kind, server: server.trim(), key_name: keyName.trim(), secret: secret.trim() },
      },
      {
        onSuccess: (stored) => {
          toast.done(`DNS records below ${stored.zone} can be set`);
          onClose();
        },
      },
    );
  return (
    <Dialog
      title="Add a DNS provider"
      onClose={onClose}
      onSubmit={save}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={put.isPending} disabled={!complete}>
            Store provider
          </Button>
        </>
      }
    >
      <Choices
        legend="Provider"
        value={kind}
        onChange={setKind}
        options={[
          { value: "cloudflare", title: "Cloudflare", text: "With an API token" },
          { value: "rfc2136", title: "Name server", text: "BIND, Knot, PowerDNS: signed updates" },
        ]}
      />
      <TextField
        label="Zone"
        mono
        placeholder="example.com"
        help="Records are set for this name and all below it."
        value={zone}
        onChange={setZone}
        error={of("zone")}
      />
      {kind === "rfc2136" && (
        <>
          <TextField
            label="Primary name server"
            mono
            placeholder="ns1.example.com"
            value={server}
            onChange={setServer}
            error={of("server")}
          />
          <TextField
            label="Name of the key"
            mono
            value={keyName}
            onChange={setKeyName}
            error={of("key_name")}
          />
        </>
      )}
      <TextField
        label={kind === "cloudflare" ? "API token" : "Key"}
        type="password"
        autoComplete="new-password"
        help={
          kind === "cloudflare"
            ? "With Zone:Read and DNS:Edit for the zone."
            : "base64, HMAC-SHA256, as tsig-keygen writes it."
        }
        value={secret}
        onChange={setSecret}
        error={of("secret", "token")}
      />
      {mayBePlatform && (
        <Choices
          legend="For"
          value={scope}
          onChange={setScope}
          options={[
            { value: "platform", title: "All apps", text: "One wildcard for the zone of the platform" },
            { value: "organization", title: "Own domains", text: "Of this organization alone" },
          ]}
        />
      )}
      {error && !known && <ErrorNotice error={error} />}
    </Dialog>
  );
}
