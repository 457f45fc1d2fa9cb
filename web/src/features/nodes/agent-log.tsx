import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { type AgentLine, type AgentLogLevel, agentLogQuery } from "@/api/nodes";
import type { Node } from "@/api/types";
import { Button } from "@/components/button";
import { Log, type LogEntry } from "@/components/log";
import { Card, ErrorNotice } from "@/components/page";

const LEVELS: AgentLogLevel[] = ["error", "warn", "info", "debug", "trace"];
/** The ingress is a part of the worker, and logs with it. */
const KINDS = ["worker", "proxy", "mesh"] as const;

/** What the agents of a node say of themselves. Asked of them only while somebody looks. */
export function AgentLogCard({ node }: { node: Node }) {
  const kinds = KINDS.filter((kind) => node.agents.some((agent) => agent.kind === kind));
  const [open, setOpen] = useState(false);
  if (kinds.length === 0) return null;
  return (
    <Card
      title="Agent log"
      text="The newest 1,000 lines, as the agents have them in memory."
      actions={
        <Button small aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? "Close" : "Show"}
        </Button>
      }
      flush={open}
    >
      {open && <View node={node.name} kinds={kinds} />}
    </Card>
  );
}

function View({ node, kinds }: { node: string; kinds: string[] }) {
  const [agent, setAgent] = useState(kinds[0] ?? "mesh");
  const [level, setLevel] = useState<AgentLogLevel>("info");
  const { data, error, refetch } = useQuery(agentLogQuery(node, agent, level));
  const entries = useMemo(() => (data?.lines ?? []).map(entryOf), [data]);
  const choices = (
    <>
      <select
        className="select node-log-choice"
        aria-label="Agent"
        value={agent}
        onChange={({ target }) => setAgent(target.value)}
      >
        {kinds.map((kind) => (
          <option key={kind}>{kind}</option>
        ))}
      </select>
      <select
        className="select node-log-choice"
        aria-label="Least important level"
        value={level}
        onChange={({ target }) => setLevel(LEVELS.find((one) => one === target.value) ?? "info")}
      >
        {LEVELS.map((one) => (
          <option key={one}>{one}</option>
        ))}
      </select>
    </>
  );
  return (
    <>
      {error && (
        <div className="card-body">
          <ErrorNotice error={error} retry={refetch} />
        </div>
      )}
      <div className="node-log">
        <Log
          name={`${agent} agent of ${node}`}
          entries={entries}
          live={!error}
          empty="No such lines since it was started."
          controls={choices}
        />
      </div>
    </>
  );
}

const bad = (level: AgentLogLevel) => level === "error" || level === "warn";

function entryOf({ seq, at, level, target, text }: AgentLine): LogEntry {
  return {
    id: String(seq),
    at,
    stream: bad(level) ? "stderr" : "stdout",
    text: `${level.toUpperCase().padEnd(5)} ${target}: ${text}`,
  };
}
