import type { Isolation } from "@/api/types";

/** What keeps an instance apart, as it is typed: numbers are text, folders are lines. */
export interface IsolationForm {
  root: "writable" | "read-only";
  tmpfs: string;
  disk: string;
  egress: string;
  ingress: string;
}

export const defaultIsolation: Isolation = {
  read_only: false,
  tmpfs: [],
  disk_mb: null,
  egress_mbit: null,
  ingress_mbit: null,
};

export function isolationFormOf(isolation: Isolation): IsolationForm {
  const text = (limit: number | null | undefined) => (limit == null ? "" : String(limit));
  return {
    root: isolation.read_only ? "read-only" : "writable",
    tmpfs: isolation.tmpfs.join("\n"),
    disk: text(isolation.disk_mb),
    egress: text(isolation.egress_mbit),
    ingress: text(isolation.ingress_mbit),
  };
}

const lines = (text: string) =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);

/** `/var/cache=64`. The server knows which paths are taken. */
const folder = /^(\/[A-Za-z0-9._-]+)+=[1-9]\d{0,4}$/;

export function isolationProblems(form: IsolationForm) {
  const problems: Partial<Record<keyof IsolationForm, string>> = {};
  const wrong = lines(form.tmpfs).find((line) => !folder.test(line));
  if (wrong) problems.tmpfs = `“${wrong}” is no path and size in MiB such as /var/cache=64.`;
  const limits = [
    ["disk", 1_048_576],
    ["egress", 10_000],
    ["ingress", 10_000],
  ] as const;
  for (const [name, most] of limits) {
    const value = form[name].trim();
    if (value && (!/^\d+$/.test(value) || Number(value) < 1 || Number(value) > most))
      problems[name] = `A whole number from 1 to ${most}.`;
  }
  return problems;
}

export function isolationOf(form: IsolationForm): Isolation {
  const limit = (text: string) => (text.trim() ? Number(text) : null);
  return {
    read_only: form.root === "read-only",
    tmpfs: lines(form.tmpfs),
    disk_mb: limit(form.disk),
    egress_mbit: limit(form.egress),
    ingress_mbit: limit(form.ingress),
  };
}

/** Field names of the API to those of the form. */
export const isolationNames: Record<string, keyof IsolationForm> = {
  isolation: "tmpfs",
  "isolation.tmpfs": "tmpfs",
  "isolation.disk_mb": "disk",
  "isolation.egress_mbit": "egress",
  "isolation.ingress_mbit": "ingress",
};
