import type { EgressRule } from "@/api/private-network";

/** Rules as lines that can be edited: a network, and its ports if not all. */
export const egressLines = (rules: EgressRule[]) =>
  rules.map(({ to, ports }) => [to, ports?.join(", ")].filter(Boolean).join(" ")).join("\n");

/** Where connections may go besides the private network, in words. */
export function egressWords(rules?: EgressRule[] | null): string {
  if (!rules) return "anywhere public";
  if (rules.length === 0) return "nowhere";
  return rules.map(({ to, ports }) => (ports?.length ? `${to} port ${ports.join(", ")}` : to)).join("; ");
}

/** Rules of lines, or what is wrong with the first line that is none. */
export function readEgress(text: string): EgressRule[] | { error: string } {
  const rules: EgressRule[] = [];
  for (const [at, line] of text.split("\n").entries()) {
    const [to, ...words] = line.split(/[\s,]+/).filter(Boolean);
    if (!to) continue;
    const network = asNetwork(to);
    if (!network) return { error: `Line ${at + 1}: ${to} is no address and no network.` };
    const wrong = words.find((word) => !isPort(word));
    if (wrong) return { error: `Line ${at + 1}: ${wrong} is no port.` };
    rules.push({ to: network, ...(words.length > 0 && { ports: words.map(Number) }) });
  }
  return rules;
}

const isPort = (word: string) => /^[0-9]{1,5}$/.test(word) && Number(word) >= 1 && Number(word) <= 65535;

/** An address is a network of itself. Whether each part is in its bounds is the control plane's to say. */
function asNetwork(text: string): string | undefined {
  const [address = "", length, ...more] = text.split("/");
  const v4 = /^[0-9]{1,3}(\.[0-9]{1,3}){3}$/.test(address);
  const v6 = /^[0-9a-f]*:[0-9a-f.]*:[0-9a-f:.]*$/i.test(address);
  const bits = v4 ? 32 : 128;
  if (more.length > 0 || !(v4 || v6)) return undefined;
  if (length === undefined) return `${address}/${bits}`;
  return /^[0-9]{1,3}$/.test(length) && Number(length) <= bits ? text : undefined;
}
