import { useState } from "react";
import { asApiError } from "@/api/errors";
import { useAddStream, useRemoveStream } from "@/api/streams";
import type { App, Stream } from "@/api/types";
import { Button } from "@/components/button";
import { Confirm } from "@/components/confirm";
import { Dialog } from "@/components/dialog";
import { Choices, TextField } from "@/components/field";
import { ErrorNotice } from "@/components/page";
import { useToast } from "@/components/toast";
import { cli } from "@/lib/cli";

interface AddProps {
  app: App;
  /** Those that streams may have. */
  ports: string;
  onClose: () => void;
}

type Protocol = Stream["protocol"];

export function AddDialog({ app, ports, onClose }: AddProps) {
  const [protocol, setProtocol] = useState<Protocol>("tcp");
  const [port, setPort] = useState("");
  const [allow, setAllow] = useState("");
  const [tls, setTls] = useState(false);
  const [tells, setTells] = useState(false);
  const add = useAddStream(app.slug);
  const toast = useToast();
  const error = add.error ? asApiError(add.error) : undefined;
  const at = (field: string) => (error?.field?.startsWith(field) ? error.message : undefined);
  const submit = () => {
    if (add.isPending) return;
    const tcp = protocol === "tcp";
    const options = {
      allow: allow.split(/[\s,]+/).filter(Boolean),
      proxy_protocol: tcp && tells,
      tls: tcp && tls ? app.hostname : null,
      max_connections: null,
      idle_timeout_s: null,
    };
    const body = { protocol, options, ...(port.trim() ? { port: Number(port) } : {}) };
    add.mutate(body, {
      onSuccess: (stream) => {
        toast.done(`Port ${stream.port} leads to ${app.slug}`);
        onClose();
      },
    });
  };
  return (
    <Dialog
      title="Publish a port"
      onClose={onClose}
      onSubmit={submit}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" busy={add.isPending}>
            Publish
          </Button>
        </>
      }
    >
      <Choices<Protocol>
        legend="Protocol"
        value={protocol}
        onChange={setProtocol}
        options={[
          { value: "tcp", title: "TCP", text: "Databases, MQTT, SMTP, SSH" },
          { value: "udp", title: "UDP", text: "Game servers, voice, DNS" },
        ]}
      />
      <TextField
        label="Port of the proxies"
        optional
        mono
        inputMode="numeric"
        pattern="[0-9]{1,5}"
        autoComplete="off"
        placeholder="a free one"
        help={at("port") && error?.hint ? error.hint : ports ? `One of ${ports}.` : undefined}
        value={port}
        onChange={setPort}
        error={at("port")}
      />
      <TextField
        label="Let in only"
        optional
        mono
        autoComplete="off"
        placeholder="203.0.113.0/24, 2001:db8::7"
        help="Addresses and networks; everybody when it is empty."
        value={allow}
        onChange={setAllow}
        error={at("allow")}
      />
      {protocol === "tcp" && (
        <>
          <label className="checkbox">
            <input type="checkbox" checked={tls} onChange={(event) => setTls(event.target.checked)} />
            <span>
              TLS with the certificate of <code>{app.hostname}</code>
            </span>
          </label>
          <label className="checkbox">
            <input type="checkbox" checked={tells} onChange={(event) => setTells(event.target.checked)} />
            <span>Tell the app who connects, by the PROXY protocol</span>
          </label>
        </>
      )}
      {protocol === "udp" && (
        <p className="small faint">
          Instances that run already get datagrams once they are replaced: restart the app afterwards.
        </p>
      )}
      {error && !at("port") && !at("allow") && <ErrorNotice error={error} />}
    </Dialog>
  );
}

interface RemoveProps {
  app: string;
  stream: Stream;
  onClose: () => void;
}

export function RemoveDialog({ app, stream, onClose }: RemoveProps) {
  const remove = useRemoveStream(app);
  const toast = useToast();
  const name = `${stream.port}/${stream.protocol}`;
  const confirm = () =>
    remove.mutate(stream, {
      onSuccess: () => {
        toast.done(`Port ${name} is closed`);
        onClose();
      },
    });
  return (
    <Confirm
      title={`Close port ${name}?`}
      verb="Close port"
      keep="Keep"
      danger
      command={cli.removeStream(app, stream.protocol, stream.port)}
      change={remove}
      onConfirm={confirm}
      onClose={onClose}
    >
      <p className="muted">
        Nobody is let in from that moment on, and connections have 30 seconds to end. Another app may get the
        port.
      </p>
    </Confirm>
  );
}
