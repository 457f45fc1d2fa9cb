import type { StatusView, Tone } from "@/lib/status";
import { Time } from "./time";

/** A filled disc with a tick, a turning arc, a triangle, a cross, a ring: tellable without colour. */
export function StatusMark({ tone }: { tone: Tone }) {
  return (
    <svg className={`status-mark tone-${tone}`} viewBox="0 0 14 14" fill="none" aria-hidden="true">
      {tone === "ok" && (
        <>
          <circle cx="7" cy="7" r="6" fill="currentColor" />
          <path
            d="M4.300 7.200 6.200 9.100 9.700 5.200"
            stroke="var(--surface)"
            strokeWidth="1.500"
            strokeLinecap="round"
            strokeLinejoin="round"
          />
        </>
      )}
      {tone === "busy" && (
        <>
          <circle cx="7" cy="7" r="5.200" stroke="currentColor" strokeWidth="1.600" opacity="0.28" />
          <path
            className="turning"
            d="M7 1.800A5.200 5.200 0 0 1 12.200 7"
            stroke="currentColor"
            strokeWidth="1.600"
            strokeLinecap="round"
          />
        </>
      )}
      {tone === "warn" && (
        <>
          <path
            d="M7 1.200 13.300 12.300H.7z"
            fill="currentColor"
            stroke="currentColor"
            strokeLinejoin="round"
          />
          <path
            d="M7 5.200v3.200M7 10.400v.01"
            stroke="var(--surface)"
            strokeWidth="1.500"
            strokeLinecap="round"
          />
        </>
      )}
      {tone === "bad" && (
        <>
          <circle cx="7" cy="7" r="6" fill="currentColor" />
          <path
            d="M4.900 4.900l4.200 4.200M9.100 4.900 4.900 9.100"
            stroke="var(--surface)"
            strokeWidth="1.500"
            strokeLinecap="round"
          />
        </>
      )}
      {tone === "idle" && (
        <circle cx="7" cy="7" r="5" stroke="currentColor" strokeWidth="1.500" strokeDasharray="2.100 2.100" />
      )}
    </svg>
  );
}

interface Props {
  view: StatusView;
  /** When this was seen; shown as an age. */
  at?: string | null;
}

export function Status({ view, at }: Props) {
  return (
    <span className={`status tone-${view.tone}`}>
      <StatusMark tone={view.tone} />
      <span>
        {view.label}
        {at && (
          <span className="age">
            {" "}
            · <Time at={at} />
          </span>
        )}
      </span>
    </span>
  );
}

export function Badge({ view }: { view: StatusView }) {
  return (
    <span className={`badge tone-${view.tone}`}>
      <StatusMark tone={view.tone} />
      {view.label}
    </span>
  );
}
