import type { Placement } from "@/api/types";

/** Where instances may be, as it is typed: lists are lines. */
export interface PlacementForm {
  placement: NonNullable<Placement["strategy"]> | "";
  required: string;
  preferred: string;
  pin: string;
  antiAffinity: Placement["anti_affinity"];
  maxPerNode: string;
  grace: string;
}

export const defaultPlacement: Placement = {
  strategy: null,
  required: [],
  preferred: [],
  pin: null,
  anti_affinity: "soft",
  max_per_node: null,
  grace_s: null,
};

export function placementFormOf(placement: Placement): PlacementForm {
  return {
    placement: placement.strategy ?? "",
    required: placement.required.join("\n"),
    preferred: placement.preferred.join("\n"),
    pin: placement.pin ?? "",
    antiAffinity: placement.anti_affinity,
    maxPerNode: placement.max_per_node == null ? "" : String(placement.max_per_node),
    grace: placement.grace_s == null ? "" : String(placement.grace_s),
  };
}

const lines = (text: string) =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);

/** `disk=nvme`, `region!=us`, `gpu` or `!spot`. */
const condition = /^(![a-z0-9./-]{1,63}|[a-z0-9./-]{1,63}(!?=.*)?)$/;

export function placementProblems(form: PlacementForm) {
  const problems: Partial<Record<keyof PlacementForm, string>> = {};
  for (const name of ["required", "preferred"] as const) {
    const wrong = lines(form[name]).find((line) => !condition.test(line));
    if (wrong) problems[name] = `“${wrong}” is no condition such as disk=nvme, region!=us, gpu or !spot.`;
  }
  if (form.pin.trim() && !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(form.pin.trim()))
    problems.pin = "The name of a node.";
  const most = form.maxPerNode.trim();
  if (most && (!/^\d+$/.test(most) || Number(most) < 1 || Number(most) > 100))
    problems.maxPerNode = "A whole number from 1 to 100.";
  const grace = form.grace.trim();
  if (grace && (!/^\d+$/.test(grace) || Number(grace) < 5 || Number(grace) > 86_400))
    problems.grace = "A whole number of seconds from 5 to 86400.";
  return problems;
}

export function placementOf(form: PlacementForm): Placement {
  return {
    strategy: form.placement || null,
    required: lines(form.required),
    preferred: lines(form.preferred),
    pin: form.pin.trim() || null,
    anti_affinity: form.antiAffinity,
    max_per_node: form.maxPerNode.trim() ? Number(form.maxPerNode) : null,
    grace_s: form.grace.trim() ? Number(form.grace) : null,
  };
}

/** Field names of the API to those of the form. */
export const placementNames: Record<string, keyof PlacementForm> = {
  "placement.strategy": "placement",
  "placement.required": "required",
  "placement.preferred": "preferred",
  "placement.pin": "pin",
  "placement.max_per_node": "maxPerNode",
  "placement.grace_s": "grace",
};
