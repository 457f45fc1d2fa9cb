import type { ApiError } from "@/api/errors";
import type { Role } from "@/api/types";
import { TextField } from "@/components/field";
import { ErrorNotice } from "@/components/page";
import { readLabels } from "./progress";

const offered: { role: Role; title: string; text: string }[] = [
  { role: "worker", title: "Worker", text: "builds and runs apps" },
  { role: "proxy", title: "Proxy", text: "takes requests from the internet" },
];

export interface KindValue {
  roles: Role[];
  name: string;
  labels: string;
  zone: string;
}

export const emptyKind: KindValue = { roles: ["worker"], name: "", labels: "", zone: "" };

/** What the API takes of it; nothing while the labels are none. */
export function kindBody({ roles, labels, zone }: KindValue) {
  const read = readLabels(labels);
  return read && { roles, labels: read, zone: zone.trim() || null };
}

const shown = ["name", "labels", "zone"];

/** What a new host is for, and by what people tell it apart. */
export function KindFields({
  value,
  onChange,
  error,
  nameHelp,
  nameNeeded,
}: {
  value: KindValue;
  onChange: (value: KindValue) => void;
  error: ApiError | undefined;
  nameHelp: string;
  nameNeeded?: boolean;
}) {
  const { roles } = value;
  const of = (field: string) => (error?.field === field ? error.message : undefined);
  const toggle = (role: Role) =>
    onChange({
      ...value,
      roles: roles.includes(role) ? roles.filter((other) => other !== role) : [...roles, role],
    });
  return (
    <>
      <div className="field">
        <span className="label">What the host is for</span>
        {offered.map(({ role, title, text }) => (
          <label className="checkbox" key={role}>
            <input type="checkbox" checked={roles.includes(role)} onChange={() => toggle(role)} />
            <span>
              {title} <span className="faint">– {text}</span>
            </span>
          </label>
        ))}
      </div>
      <TextField
        label="Name"
        optional={!nameNeeded}
        mono
        placeholder="w1"
        help={nameHelp}
        value={value.name}
        onChange={(name) => onChange({ ...value, name })}
        error={of("name")}
      />
      <TextField
        label="Labels"
        optional
        mono
        placeholder="disk=nvme rack=3"
        value={value.labels}
        onChange={(labels) => onChange({ ...value, labels })}
        error={
          readLabels(value.labels) ? of("labels") : "Labels are written key=value, with spaces between them."
        }
      />
      <TextField
        label="Zone"
        optional
        mono
        placeholder="de.example.com"
        help="DNS suffix that the host serves."
        value={value.zone}
        onChange={(zone) => onChange({ ...value, zone })}
        error={of("zone")}
      />
      {error && !shown.includes(error.field ?? "") && <ErrorNotice error={error} />}
    </>
  );
}
