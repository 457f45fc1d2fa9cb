import type { Agent, Node, Role } from "@/api/types";
import { Status } from "@/components/status";
import { took } from "@/lib/time";
import { clock } from "./health";

const roleName: Record<Role, string> = { "control-plane": "Control plane", worker: "Worker", proxy: "Proxy" };

export function Roles({ roles }: { roles: Role[] }) {
  return (
    <span className="roles">
      {roles.map((role) => (
        <span key={role} className="badge">
          {roleName[role] ?? role}
        </span>
      ))}
    </span>
  );
}

/** Labels as chips; one of the configuration says so. */
export function Labels({ node }: { node: Node }) {
  return (
    <span className="roles">
      {Object.entries(node.labels).map(([key, value]) => (
        <span
          key={key}
          className="badge"
          title={node.declared_labels.includes(key) ? "From the configuration" : undefined}
        >
          {value ? `${key}=${value}` : key}
        </span>
      ))}
    </span>
  );
}

export function agentView(agent: Agent) {
  if (!agent.connected) return { tone: "bad", label: "Disconnected" } as const;
  if (agent.applied_generation < agent.generation) return { tone: "busy", label: "Applying" } as const;
  return { tone: "ok", label: "Connected" } as const;
}

export function AgentMarks({ agents }: { agents: Agent[] }) {
  return (
    <span className="row wrap" style={{ gap: "2px 12px" }}>
      {agents.map((agent) => {
        const { tone, label } = agentView(agent);
        return (
          <span key={agent.kind} title={`${agent.kind}: ${label.toLowerCase()}`}>
            <Status view={{ tone, label: agent.kind }} />
            <span className="visually-hidden">{label}</span>
          </span>
        );
      })}
    </span>
  );
}

/** `0.1.0`, or all of them where they differ: an update that is under way, or was forgotten somewhere. */
export function AgentVersions({ agents }: { agents: Agent[] }) {
  const versions = [...new Set(agents.map((agent) => agent.version))].filter(Boolean);
  return versions.length === 0 ? null : <span className="sub num">{versions.join(", ")}</span>;
}

/** From here on, in ms, a clock is worth a word in the list. */
const OFF = 1_000;

/** How long packets take to it and back, and its clock if that is off. */
export function Reach({ node: { rtt_ms, health } }: { node: Node }) {
  const off = health.clock_offset_ms;
  return (
    <>
      {rtt_ms != null && (
        <span className="sub num nowrap" title="There and back from the control plane, through the mesh">
          {took(rtt_ms)}
        </span>
      )}
      {off != null && Math.abs(off) >= OFF && <span className="sub nowrap">clock {clock(off)}</span>}
    </>
  );
}
