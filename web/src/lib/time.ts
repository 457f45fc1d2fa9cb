/** `4 s`, `3 min`, `2 h`, `5 d`, `3 y`: one unit, rounded down, as ages are read. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h`;
  const days = Math.floor(hours / 24);
  return days < 730 ? `${days} d` : `${Math.floor(days / 365)} y`;
}

export function relative(at: string, now: number): string {
  const ms = now - Date.parse(at);
  if (ms < -1000) return `in ${age(-ms)}`;
  return ms < 1000 ? "now" : `${age(ms)} ago`;
}

/** `0.8 s`, `12 s`, `1 min 05 s`, `2 h 03 min`: exact enough to compare stages. */
export function duration(ms: number): string {
  if (ms < 0) return "0 s";
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** A time that may not be known. */
export const tookOr = (ms: number | null | undefined) => (ms == null ? "–" : took(ms));

/** `0.4 ms`, `12 ms`, `1.2 s`: how long a request took. */
export function took(ms: number): string {
  if (ms >= 999.5) return duration(ms);
  return `${ms < 9.95 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

const exactFormat = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
export const exact = (at: string) => exactFormat.format(new Date(at));

const timeFormat = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});
/** `04:45`, as in tables and logs. */
export const timeOfDay = (at: string | number) => timeFormat.format(new Date(at));

const dayFormat = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
export const day = (at: string | number) => dayFormat.format(new Date(at));

/** Time of day with milliseconds, for log lines. */
export function clock(at: string): string {
  const date = new Date(at);
  const part = (value: number, length = 2) => String(value).padStart(length, "0");
  return `${part(date.getHours())}:${part(date.getMinutes())}:${part(date.getSeconds())}.${part(date.getMilliseconds(), 3)}`;
}
