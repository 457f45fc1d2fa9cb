import { type Mesh, type MeshNode, useRotateMeshKeys } from "@/api/mesh";
import { Button } from "@/components/button";
import { Card } from "@/components/page";
import { Time } from "@/components/time";
import { useToast } from "@/components/toast";
import { cli } from "@/lib/cli";

/** How old the keys of the tunnels are, and others for them. */
export function Keys({ mesh }: { mesh: Mesh }) {
  const rotate = useRotateMeshKeys();
  const toast = useToast();
  const ask = (nodes: string[]) =>
    rotate.mutate(nodes, { onError: (error) => toast.failed("The keys stay as they are", error) });
  const changing = mesh.nodes.some(({ rotation }) => rotation);
  return (
    <Card
      title="Keys of the tunnels"
      text="Nodes change their keys one after the other; connections go on."
      actions={
        <Button small busy={rotate.isPending || changing} onClick={() => ask([])}>
          Rotate all
        </Button>
      }
      footer={<code>{cli.meshRotate()}</code>}
      flush
    >
      <div className="table-wrap">
        <table className="table">
          <thead>
            <tr>
              <th>Node</th>
              <th>Key</th>
              <th className="hide-small">Public key</th>
              <th />
            </tr>
          </thead>
          <tbody>
            {mesh.nodes.map((node) => (
              <tr key={node.id}>
                <td>{node.name}</td>
                <td>
                  <Age node={node} />
                </td>
                <td className="hide-small">
                  <code className="small">{node.public_key}</code>
                </td>
                <td className="end">
                  <Button
                    small
                    kind="ghost"
                    aria-label={`Rotate the key of ${node.name}`}
                    disabled={rotate.isPending || Boolean(node.rotation)}
                    onClick={() => ask([node.name])}
                  >
                    Rotate
                  </Button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function Age({ node: { key_since, rotation } }: { node: MeshNode }) {
  if (rotation) {
    const waits = rotation.waits_for.join(", ");
    return (
      <>
        Changing since <Time at={rotation.asked_at} />
        {waits && <span className="sub">waits for {waits}</span>}
      </>
    );
  }
  return key_since ? (
    <>
      Since <Time at={key_since} />
    </>
  ) : (
    "–"
  );
}
