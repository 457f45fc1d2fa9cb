import { useQuery } from "@tanstack/react-query";
import { useSearchParams } from "react-router";
import { type Mesh, type MeshFinding, meshQuery } from "@/api/mesh";
import { Card, Empty, ErrorNotice, PageHead, Skeleton, useTitle } from "@/components/page";
import { StatusMark } from "@/components/status";
import { Words } from "@/components/words";
import { cli } from "@/lib/cli";
import type { Tone } from "@/lib/status";
import { Keys } from "./keys";
import { Matrix } from "./matrix";
import { Peers } from "./peers";

export function Component() {
  useTitle("Network");
  const { data: mesh, error, refetch } = useQuery(meshQuery());
  return (
    <div className="page">
      <PageHead
        title="Network"
        text={mesh ? `The tunnels between the nodes, in ${mesh.cidr}.` : "The tunnels between the nodes."}
      />
      {error && <ErrorNotice error={error} retry={refetch} />}
      {!mesh && !error && <Skeleton width={320} />}
      {mesh && (mesh.nodes.length > 1 ? <Shown mesh={mesh} /> : <Alone />)}
    </div>
  );
}

function Alone() {
  return (
    <Empty
      icon="network"
      title="There is nobody to talk to yet"
      text="How nodes reach each other is shown here once there are two."
    />
  );
}

function Shown({ mesh }: { mesh: Mesh }) {
  const [params, setParams] = useSearchParams();
  const wanted = params.get("node");
  const selected = mesh.nodes.find(({ name }) => name === wanted)?.name ?? mesh.nodes[0]?.name ?? "";
  const select = (node: string) => setParams({ node }, { replace: true, preventScrollReset: true });
  return (
    <>
      <Findings findings={mesh.findings} />
      {mesh.links_left_out === 0 && (
        <Card
          title="Who reaches whom"
          text="Each row is what one node says. Choose a node to see more."
          flush
        >
          <Matrix mesh={mesh} selected={selected} onSelect={select} />
        </Card>
      )}
      <Card
        title={
          <label className="row">
            Peers of
            <select
              className="select compact"
              value={selected}
              aria-label="Peers of the node"
              onChange={({ target }) => select(target.value)}
            >
              {mesh.nodes.map(({ name }) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
        }
        flush
      >
        <PeersOf mesh={mesh} node={selected} />
      </Card>
      <Keys mesh={mesh} />
    </>
  );
}

/** Of a large mesh the links have to be asked for node by node. */
function PeersOf({ mesh, node }: { mesh: Mesh; node: string }) {
  const whole = mesh.links_left_out === 0;
  const { data, error, refetch } = useQuery({ ...meshQuery(node), enabled: !whole });
  if (error) return <ErrorNotice error={error} retry={refetch} />;
  const links = (whole ? mesh : data)?.links.filter(({ from }) => from === node);
  return links ? <Peers links={links} /> : <Skeleton width={320} />;
}

const tone: Record<MeshFinding["level"], Tone> = { ok: "ok", warning: "warn", problem: "bad" };

function Findings({ findings }: { findings: MeshFinding[] }) {
  if (findings.length === 0) return null;
  return (
    <Card title="What is not as it should be" footer={<code>{cli.mesh()}</code>}>
      <ul className="stack findings">
        {findings.map((finding) => (
          <li key={`${finding.problem} ${finding.summary}`} className={`finding tone-${tone[finding.level]}`}>
            <StatusMark tone={tone[finding.level]} />
            <div className="stack tight">
              <p>
                <Words text={finding.summary} />
              </p>
              <p className="muted">
                <Words text={finding.fix} />
              </p>
            </div>
          </li>
        ))}
      </ul>
    </Card>
  );
}
