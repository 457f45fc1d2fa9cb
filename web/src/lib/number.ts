const grouped = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** `640`, `9,120`, `12.3K`, `4M`: whole while it is short. */
export function count(value: number): string {
  return value < 10_000 ? grouped.format(value) : compact.format(value);
}

/** `0 %`, `< 0.1 %`, `0.4 %`, `12 %`; some are never shown as none, nor most as all. */
export function share(part: number, whole: number): string {
  const percent = whole > 0 ? (part / whole) * 100 : 0;
  if (percent === 0 || percent === 100) return `${percent} %`;
  if (percent < 0.1) return "< 0.1 %";
  if (percent > 99.9) return "> 99.9 %";
  return `${percent < 10 || percent > 99 ? percent.toFixed(1) : Math.round(percent)} %`;
}
