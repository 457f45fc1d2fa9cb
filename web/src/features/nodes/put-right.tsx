import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { type Correction, nodeCorrectionsQuery, nodeStraysQuery, type Stray } from "@/api/nodes";
import type { Node } from "@/api/types";
import { CopyButton } from "@/components/copy";
import { Card } from "@/components/page";
import { Status } from "@/components/status";
import { Time } from "@/components/time";
import { sentence } from "@/lib/text";

/** Containers with our label that nobody knows. They were stopped, and go by themselves a week after they were found. */
export function Strays({ node }: { node: Node }) {
  const worker = node.roles.includes("worker");
  const { data } = useQuery({ ...nodeStraysQuery(node.name), enabled: worker });
  if (!data || data.length === 0) return null;
  return (
    <Card
      title="Strays"
      text="Containers of ours that nobody knows. They were stopped and are removed after a week; copy out before what you want to keep."
      flush
    >
      <div className="table-wrap">
        <table className="table">
          <tbody>
            {data.map((stray) => (
              <StrayRow key={stray.container} stray={stray} />
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function StrayRow({ stray }: { stray: Stray }) {
  const runs = stray.state === "running";
  return (
    <tr>
      <td>
        <span className="cut">{stray.name || stray.container.slice(0, 12)}</span>
        <span className="sub">
          {stray.app && `said to be of ${stray.app}, `}
          {stray.reason}
        </span>
      </td>
      <td>
        <Status view={{ tone: runs ? "warn" : "idle", label: sentence(stray.state) }} at={stray.found_at} />
      </td>
      <td className="nowrap">
        removed <Time at={stray.remove_at} />
        <div>
          <CopyButton text={`podman rm --force ${stray.container.slice(0, 12)}`}>podman rm</CopyButton>
        </div>
      </td>
    </tr>
  );
}

/** What its worker put right by itself: also what it did while it was cut off. */
export function Corrections({ node }: { node: Node }) {
  const worker = node.roles.includes("worker");
  const { data } = useQuery({ ...nodeCorrectionsQuery(node.name), enabled: worker });
  if (!data || data.length === 0) return null;
  return (
    <Card title="Put right" text="What was not as it should be, and what the worker did about it." flush>
      <div className="table-wrap">
        <table className="table">
          <tbody>
            {data.map((correction) => (
              <CorrectionRow key={correction.id} correction={correction} />
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function CorrectionRow({ correction: { app, at, done, reason } }: { correction: Correction }) {
  return (
    <tr>
      <td>
        {sentence(done)}
        <span className="sub">{sentence(reason)}</span>
      </td>
      <td>{app && <Link to={`/apps/${app}`}>{app}</Link>}</td>
      <td className="end nowrap">
        <Time at={at} />
      </td>
    </tr>
  );
}
