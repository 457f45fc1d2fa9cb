import type { Domain } from "@/api/types";
import { Code, Copy } from "@/components/copy";

/** What is to be in the DNS. Open until it is seen there. */
export function Records({ domain }: { domain: Domain }) {
  const { proof, address, note, zone_file } = domain.records;
  return (
    <details className="records" open={domain.state !== "verified" || !!domain.missing_since}>
      <summary>DNS records</summary>
      <div className="table-wrap">
        <table className="table">
          <thead>
            <tr>
              <th>Type</th>
              <th>Name</th>
              <th>Value</th>
            </tr>
          </thead>
          <tbody>
            {[proof, ...address].map((record) => (
              <tr key={`${record.type} ${record.value}`}>
                <td className="type">{record.type}</td>
                <td data-label="Name">
                  <Value text={record.name} label={`Copy name of the ${record.type} record`} />
                </td>
                <td data-label="Value">
                  <Value text={record.value} label={`Copy value of the ${record.type} record`} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {note && <p className="small faint">{note}.</p>}
      <p className="small faint">The TXT record shows whose the name is, and has to stay.</p>
      <details>
        <summary className="small">As lines of a zone file</summary>
        <Code text={zone_file} wrap />
      </details>
    </details>
  );
}

function Value({ text, label }: { text: string; label: string }) {
  return (
    <span className="record-value">
      <code className="break">{text}</code>
      <Copy text={text} label={label} />
    </span>
  );
}
