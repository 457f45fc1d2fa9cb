import type { Agent, Node, Role } from "@/api/types";
import { Status } from "@/components/status";

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
