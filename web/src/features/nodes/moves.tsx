import type { PlannedMove } from "@/api/placement";

/** Instances that would go, where to, and why. */
export function MoveTable({ moves }: { moves: PlannedMove[] }) {
  return (
    <div className="table-wrap">
      <table className="table">
        <thead>
          <tr>
            <th>App</th>
            <th>From</th>
            <th>To</th>
            <th>Why</th>
          </tr>
        </thead>
        <tbody>
          {moves.map((move) => (
            <tr key={move.instance}>
              <td>{move.app ?? <span className="muted">of another organization</span>}</td>
              <td>{move.from}</td>
              <td>{move.to ?? <b>nowhere</b>}</td>
              <td className="small muted">{move.reason}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
