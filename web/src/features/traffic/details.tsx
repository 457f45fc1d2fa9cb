import type { ReactNode } from "react";
import { Link } from "react-router";
import type { AccessSample, Filters } from "@/api/traffic";
import { Button } from "@/components/button";
import { Copy } from "@/components/copy";
import { Dialog } from "@/components/dialog";
import { bytes } from "@/lib/bytes";
import { exact, took } from "@/lib/time";

interface Props {
  sample: AccessSample;
  onClose: () => void;
  onFilter: (filters: Filters) => void;
}

export function Details({ sample, onClose, onFilter }: Props) {
  const address = `${sample.tls ? "https" : "http"}://${sample.host}${sample.path}`;
  const { client } = sample;
  return (
    <Dialog
      title={`${sample.method}, answered with ${sample.status}`}
      onClose={onClose}
      footer={
        <>
          {sample.path !== "/" && (
            <Button onClick={() => onFilter({ path: sample.path })}>Others that begin with this path</Button>
          )}
          {client && <Button onClick={() => onFilter({ client })}>Others of this client</Button>}
        </>
      }
    >
      <dl className="facts">
        <Fact name="Address">
          <code>{address}</code> <Copy text={address} label="Copy address" />
        </Fact>
        <Fact name="Answered">{exact(sample.at)}</Fact>
        <Fact name="Took">{took(sample.took_ms)}</Fact>
        <Fact name="Bytes">
          {bytes(sample.sent_bytes)} sent, {bytes(sample.received_bytes)} received
        </Fact>
        <Fact name="Client">{client ? <code>{client}</code> : <span className="faint">not kept</span>}</Fact>
        <Fact name="Protocol">
          {sample.protocol}
          {sample.tls ? " over TLS" : ", not encrypted"}
        </Fact>
        <Fact name="User agent">{sample.user_agent ?? <span className="faint">none</span>}</Fact>
        <Fact name="Referrer">{sample.referer ?? <span className="faint">none</span>}</Fact>
        <Fact name="Instance">
          {sample.upstream ? (
            <code>{sample.upstream}</code>
          ) : (
            <span className="faint">none, {sample.node} answered by itself</span>
          )}
        </Fact>
        <Fact name="Came in at">
          <Link to={`/nodes/${sample.node}`}>{sample.node}</Link>
        </Fact>
      </dl>
    </Dialog>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}
