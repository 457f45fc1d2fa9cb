import { useId, useState } from "react";
import { asApiError } from "@/api/errors";
import { useImportCertificate } from "@/api/mutations";
import type { ImportedCertificate } from "@/api/types";
import { Button } from "@/components/button";
import { Dialog } from "@/components/dialog";
import { AreaField } from "@/components/field";
import { ErrorNotice, Notice } from "@/components/page";
import { textOf } from "@/lib/file";
import { exact } from "@/lib/time";

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]+-----END [A-Z ]*PRIVATE KEY-----/;

/** Takes two texts, or the files that hold them; one file may hold both. */
export function ImportDialog({ onClose }: { onClose: () => void }) {
  const [chain, setChain] = useState("");
  const [key, setKey] = useState("");
  const put = useImportCertificate();
  if (put.data) return <Imported imported={put.data} onClose={onClose} />;
  const error = put.error ? asApiError(put.error) : undefined;
  const of = (field: string) =>
    error?.field === field ? [error.message, error.hint].filter(Boolean).join(" ") : undefined;
  const known = ["chain_pem", "key_pem"].includes(error?.field ?? "");
  const read = async (files: FileList | null) => {
    for (const file of files ?? []) {
      const text = await textOf(file);
      const certificates = text.match(CERTIFICATE)?.join("\n");
      const key = text.match(KEY)?.[0];
      if (certificates) setChain((was) => (was ? `${was.trimEnd()}\n${certificates}` : certificates));
      if (key) setKey(key);
    }
  };
  return (
    <Dialog
      title="Import a certificate"
      onClose={onClose}
      onSubmit={() => put.mutate({ chain_pem: chain, key_pem: key })}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={put.isPending} disabled={!chain.trim() || !key.trim()}>
            Import
          </Button>
        </>
      }
    >
      <p className="muted">
        It is served for the host names of your apps that it covers, in place of the ordered ones.
      </p>
      <Files onFiles={(files) => void read(files)} />
      <AreaField
        label="Certificate and its chain"
        rows={6}
        spellCheck={false}
        placeholder="-----BEGIN CERTIFICATE-----"
        help="PEM, in any order."
        value={chain}
        onChange={setChain}
        error={of("chain_pem")}
      />
      <AreaField
        label="Private key"
        rows={4}
        spellCheck={false}
        autoComplete="off"
        placeholder="-----BEGIN PRIVATE KEY-----"
        help="PEM, without a passphrase. It is encrypted and never shown again."
        value={key}
        onChange={setKey}
        error={of("key_pem")}
      />
      {error && !known && <ErrorNotice error={error} />}
    </Dialog>
  );
}

function Files({ onFiles }: { onFiles: (files: FileList | null) => void }) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>
        Files <span className="optional">optional</span>
      </label>
      <input
        id={id}
        type="file"
        multiple
        accept=".pem,.crt,.cer,.key,.txt"
        onChange={(event) => onFiles(event.target.files)}
      />
    </div>
  );
}

/** What was found in it, with what is to know about it. */
function Imported({ imported, onClose }: { imported: ImportedCertificate; onClose: () => void }) {
  return (
    <Dialog
      title="Imported"
      onClose={onClose}
      footer={
        <Button kind="primary" onClick={onClose}>
          Done
        </Button>
      }
    >
      <dl className="facts">
        <dt>Served for</dt>
        <dd>{imported.hosts.join(", ")}</dd>
        <dt>Issuer</dt>
        <dd>{imported.issuer}</dd>
        <dt>Ends</dt>
        <dd>{exact(imported.not_after)}</dd>
      </dl>
      {imported.notes.map((note) => (
        <Notice key={note} tone="warn" title={note} />
      ))}
    </Dialog>
  );
}
