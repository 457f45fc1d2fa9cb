import type { Node, NodeToken } from "@/api/types";

export interface Step {
  key: string;
  text: string;
  done: boolean;
}

/** The agents that the roles run. */
function wanted(node: Node) {
  return ["mesh", "worker", "proxy"].filter(
    (kind) => kind === "mesh" || node.roles.some((role) => role === kind),
  );
}

function isConnected(node: Node, kind: string) {
  return node.agents.some((agent) => agent.kind === kind && agent.connected);
}

/** The way of a host from its token until it is online; what has not come yet is not done. */
export function steps(token: NodeToken | undefined, node: Node | undefined): Step[] {
  const used = token?.used_by;
  const first: Step = {
    key: "token",
    text: used ? `${used} has used the token` : "Waiting for the node…",
    done: Boolean(used),
  };
  if (!node) return [first];
  const agents = wanted(node).map((kind) => ({
    key: kind,
    text: kind === "mesh" ? `In the mesh at ${node.mesh_address}` : `Its ${kind} agent is connected`,
    done: isConnected(node, kind),
  }));
  return [first, ...agents, { key: "online", text: `${node.name} is online`, done: isIn(node) }];
}

export function isIn(node: Node) {
  return node.status === "online" && wanted(node).every((kind) => isConnected(node, kind));
}

/** `disk=nvme rack=3` as labels; undefined when that is none. */
export function readLabels(text: string): Record<string, string> | undefined {
  const labels: Record<string, string> = {};
  for (const word of text.split(/[\s,]+/).filter(Boolean)) {
    const [key, ...value] = word.split("=");
    if (!key || value.length === 0) return undefined;
    labels[key] = value.join("=");
  }
  return labels;
}
