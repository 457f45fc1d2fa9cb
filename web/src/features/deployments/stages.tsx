import type { Deployment, StageProgress } from "@/api/types";
import { StatusMark } from "@/components/status";
import { Elapsed } from "@/components/time";
import { stageMeaning, stageName, stageState, viewOf } from "@/lib/status";

export function Stages({ deployment: { stages } }: { deployment: Deployment }) {
  return (
    <ol className="stages">
      {stages.map((stage) => (
        <StageItem key={stage.stage} stage={stage} />
      ))}
    </ol>
  );
}

function StageItem({ stage }: { stage: StageProgress }) {
  const view = viewOf(stageState, stage.state);
  return (
    <li
      className={`stage ${stage.state}`}
      title={stageMeaning[stage.stage]}
      aria-current={stage.state === "running" ? "step" : undefined}
    >
      <div className="stage-bar" />
      <span className="stage-name">
        <StatusMark tone={view.tone} />
        {stageName[stage.stage] ?? stage.stage}
        <span className="visually-hidden">{view.label}</span>
      </span>
      <span className="stage-time">
        {stage.started_at && stage.state !== "skipped" ? (
          <Elapsed from={stage.started_at} to={stage.finished_at} />
        ) : stage.state === "skipped" ? (
          "skipped"
        ) : (
          "–"
        )}
      </span>
    </li>
  );
}
