import type { Mesh, MeshLink } from "@/api/mesh";
import { StatusMark } from "@/components/status";
import { linkView, loss, matrixOf, rtt, told } from "./links";

/** So many columns have room for numbers; more have a mark alone. */
const ROOMY = 8;

interface Props {
  mesh: Mesh;
  selected: string | undefined;
  onSelect: (node: string) => void;
}

/** Who reaches whom: a row for each node that says so. Columns of many nodes are numbered, and rows say the numbers. */
export function Matrix({ mesh, selected, onSelect }: Props) {
  const linkOf = matrixOf(mesh);
  const roomy = mesh.nodes.length <= ROOMY;
  return (
    <div className="table-wrap">
      <table className={roomy ? "mesh-matrix" : "mesh-matrix dense"}>
        <caption className="visually-hidden">
          How each node, by row, reaches each other node, by column
        </caption>
        <thead>
          <tr>
            <th scope="col">From</th>
            {mesh.nodes.map(({ name }, index) => (
              <th key={name} scope="col" title={name} aria-label={name} className="num">
                {roomy ? name : index + 1}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {mesh.nodes.map(({ name }, index) => (
            <tr key={name} className={name === selected ? "selected" : undefined}>
              <th scope="row">
                <button type="button" className="link" onClick={() => onSelect(name)}>
                  {!roomy && <span className="faint num">{index + 1} </span>}
                  {name}
                </button>
              </th>
              {mesh.nodes.map((to) => (
                <Cell key={to.name} link={linkOf(name, to.name)} roomy={roomy} self={to.name === name} />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Cell({ link, roomy, self }: { link: MeshLink | undefined; roomy: boolean; self: boolean }) {
  if (!link) return <td className="faint">{self ? <span aria-hidden="true">·</span> : ""}</td>;
  const { tone } = linkView(link);
  return (
    <td className={`tone-${tone}`} title={told(link)}>
      <span className="visually-hidden">{told(link)}</span>
      <span className="cell" aria-hidden="true">
        <StatusMark tone={tone} />
        {roomy && <span className="num">{rtt(link)}</span>}
        {roomy && (link.loss ?? 0) > 0 && <span className="num small">{loss(link)} lost</span>}
      </span>
    </td>
  );
}
