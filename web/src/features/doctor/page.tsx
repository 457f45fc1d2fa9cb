import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useSearchParams } from "react-router";
import { doctorQuery } from "@/api/queries";
import type { DnsRecord, DoctorFinding, DoctorReport } from "@/api/types";
import { Button } from "@/components/button";
import { Code, Copy } from "@/components/copy";
import { TextField } from "@/components/field";
import { Card, Empty, ErrorNotice, Notice, PageHead, useTitle } from "@/components/page";
import { StatusMark } from "@/components/status";
import { Time } from "@/components/time";
import { Words } from "@/components/words";
import { cli } from "@/lib/cli";
import type { Tone } from "@/lib/status";

const tone: Record<DoctorFinding["level"], Tone> = { ok: "ok", warning: "warn", problem: "bad" };

const title: Record<DoctorFinding["check"], string> = {
  domain: "Name",
  dns: "DNS",
  cdn: "In front",
  ports: "Ports",
  certificate: "Certificate",
  route: "Route",
  target: "Instances",
  probe: "Probes",
  access: "Access",
  resolver: "Names",
  firewall: "Firewall",
};

/** Follows a request for a host name from DNS to the app. The name is in the address, so that pages can link here. */
export function Component() {
  useTitle("Doctor");
  const [params, setParams] = useSearchParams();
  const host = params.get("host") ?? "";
  const query = useQuery({ ...doctorQuery(host), enabled: host !== "" });
  const examine = (next: string) => {
    if (next === host) void query.refetch();
    else setParams({ host: next });
  };
  return (
    <div className="page">
      <PageHead title="Doctor" text="Why does a host name not answer? From public DNS to the app's probe." />
      <HostForm key={host} host={host} busy={query.isFetching} onSubmit={examine} />
      {query.error && <ErrorNotice error={query.error} />}
      {query.isFetching ? (
        <Notice tone="busy" title={`Looking at ${host} from outside and from inside`}>
          Asking public resolvers, knocking on ports 80 and 443, reaching the instances: some seconds.
        </Notice>
      ) : query.data ? (
        <Told report={query.data} />
      ) : (
        !query.error && (
          <Empty
            icon="search"
            title="Name a host"
            text="Any name that should lead to one of your apps. Nothing is changed."
            command={cli.doctor("www.example.com")}
          />
        )
      )}
    </div>
  );
}

function HostForm({
  host,
  busy,
  onSubmit,
}: {
  host: string;
  busy: boolean;
  onSubmit: (host: string) => void;
}) {
  const [value, setValue] = useState(host);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (value.trim()) onSubmit(value.trim());
  };
  return (
    <form className="row wrap examine" onSubmit={submit}>
      <TextField
        label="Host name"
        value={value}
        onChange={setValue}
        placeholder="www.example.com"
        autoFocus
      />
      <Button kind="primary" type="submit" busy={busy}>
        Examine
      </Button>
    </form>
  );
}

const verdict: Record<DoctorReport["level"], (host: string) => string> = {
  ok: (host) => `${host} is in order`,
  warning: (host) => `${host} works, with reservations`,
  problem: (host) => `${host} does not work as it should`,
};

function Told({ report }: { report: DoctorReport }) {
  return (
    <>
      <Notice tone={tone[report.level]} title={verdict[report.level](report.host)}>
        Looked at <Time at={report.checked_at} />
      </Notice>
      <Card>
        <ol className="stack findings">
          {report.findings.map((finding) => (
            <Finding key={finding.check} finding={finding} />
          ))}
        </ol>
      </Card>
    </>
  );
}

function Finding({ finding }: { finding: DoctorFinding }) {
  return (
    <li className={`finding tone-${tone[finding.level]}`}>
      <StatusMark tone={tone[finding.level]} />
      <div className="stack tight">
        <h2>{title[finding.check]}</h2>
        <p>
          <Words text={finding.summary} />
        </p>
        {finding.fix && (
          <p className="muted">
            <Words text={finding.fix} />
          </p>
        )}
        {finding.records?.map((record) => (
          <RecordLine key={`${record.type} ${record.name} ${record.value}`} record={record} />
        ))}
      </div>
    </li>
  );
}

/** What to type into the DNS of the domain, each part with a button of its own. */
function RecordLine({ record }: { record: DnsRecord }) {
  return (
    <div className="record">
      <span>
        <code>{record.name}</code>
        <Copy text={record.name} label="Copy the name" />
      </span>
      <code>{record.type}</code>
      <Code text={record.value} wrap />
    </div>
  );
}
