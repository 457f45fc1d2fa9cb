import type { RolloutPreview } from "@/api/types";

/** What a roll-out will do: whether requests fail, and its steps in order. */
export function Preview({ preview }: { preview: RolloutPreview }) {
  return (
    <>
      <p>
        <b>{preview.downtime ? "Downtime" : "No downtime"}</b>
        <span className="muted">: {preview.because}.</span>
      </p>
      <details>
        <summary className="muted">What happens, step by step</summary>
        <ol>
          {preview.steps.map((step, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: steps repeat and never move
            <li key={index}>{step}</li>
          ))}
        </ol>
      </details>
    </>
  );
}
