import type { RolloutPreview } from "@/api/types";
import { Icon } from "@/components/icon";

/** What a roll-out will do: whether requests fail, and its steps in order. */
export function Preview({ preview }: { preview: RolloutPreview }) {
  return (
    <details className="more">
      <summary>
        <Icon name="chevron" size={14} />
        {preview.downtime ? "Downtime" : "No downtime"} <span className="hint">{preview.because}</span>
      </summary>
      <ol className="small">
        {preview.steps.map((step, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: steps repeat and never move
          <li key={index}>{step}</li>
        ))}
      </ol>
    </details>
  );
}
