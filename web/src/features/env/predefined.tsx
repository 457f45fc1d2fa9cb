import type { Predefined } from "@/api/types";
import { Copy } from "@/components/copy";
import { Card } from "@/components/page";

/** What every container is told besides the app's own variables. Nobody can change it, and it is no secret. */
export function PredefinedCard({ predefined }: { predefined: Predefined[] }) {
  return (
    <Card
      title="Set by the platform"
      text="In every container, beside the variables above. The values are those of the live release."
      flush
    >
      <div className="table-wrap">
        <table className="table">
          <thead>
            <tr>
              <th>Name</th>
              <th>Value</th>
              <th className="hide-small">What it is</th>
            </tr>
          </thead>
          <tbody>
            {predefined.map(({ name, value, about }) => (
              <tr key={name}>
                <td>
                  <code>{name}</code>
                </td>
                <td style={{ maxWidth: 340 }}>
                  {value == null ? (
                    <span className="faint">–</span>
                  ) : (
                    <span className="row">
                      <code className="truncate">{value}</code>
                      <Copy text={value} label={`Copy ${name}`} />
                    </span>
                  )}
                </td>
                <td className="hide-small muted">{about}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
