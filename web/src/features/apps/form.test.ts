import { describe, expect, it } from "vitest";
import type { AppSettings, Probe } from "@/api/types";
import { defaultSettings, formOf, patchOf, problemsOf } from "./form";

const times = { interval_s: 2, timeout_s: 6, start_within_s: 60, failures: 4 };
const checks: Probe["check"][] = [
  { type: "tcp" },
  { type: "http", path: "/up", status: 204 },
  { type: "command", command: ["pg_isready", "-q"] },
  { type: "off" },
];

describe("the form of an app's settings", () => {
  it.each(checks)("gives back a probe of type $type and the commands of a release as they were", (check) => {
    const settings: AppSettings = {
      ...defaultSettings,
      probe: { check, ...times },
      deploy: {
        strategy: "rolling",
        pre_command: ["migrate", "--all of it"],
        post_command: null,
        drain_s: 60,
        stop_grace_s: 30,
      },
    };
    const patch = patchOf(formOf(settings));
    expect(patch.probe).toEqual(settings.probe);
    expect(patch.deploy).toEqual(settings.deploy);
  });
  it("gives back a placement as it was, and names a wrong one", () => {
    const placement = {
      strategy: "spread",
      required: ["disk=nvme", "!spot"],
      preferred: [],
      pin: "worker-2",
      anti_affinity: "hard",
      max_per_node: 2,
      grace_s: 60,
    } as const;
    const form = formOf({
      ...defaultSettings,
      placement: { ...placement, required: [...placement.required], preferred: [] },
    });
    expect(patchOf(form).placement).toEqual(placement);
    expect(patchOf(formOf(defaultSettings)).placement).toEqual(defaultSettings.placement);
    expect(
      problemsOf({ ...form, required: "disk = nvme", maxPerNode: "0", grace: "1", pin: "Worker 2" }),
    ).toEqual({
      required: expect.stringContaining("disk = nvme"),
      maxPerNode: expect.anything(),
      grace: expect.anything(),
      pin: expect.anything(),
    });
  });
  it("gives back what keeps an instance apart as it was, and names a wrong folder or limit", () => {
    const isolation = {
      read_only: true,
      tmpfs: ["/var/cache=64", "/data=8"],
      disk_mb: 500,
      egress_mbit: 16,
      ingress_mbit: null,
    };
    const form = formOf({ ...defaultSettings, isolation });
    expect(patchOf(form).isolation).toEqual(isolation);
    expect(patchOf(formOf(defaultSettings)).isolation).toEqual(defaultSettings.isolation);
    expect(problemsOf({ ...form, tmpfs: "/a=8\n/b", disk: "0", egress: "1.5" })).toEqual({
      tmpfs: expect.stringContaining("/b"),
      disk: expect.anything(),
      egress: expect.anything(),
    });
  });
  it("wants a program for a probe by command, and a status that exists", () => {
    const form = { ...formOf(defaultSettings), check: "command" as const, program: " \n" };
    expect(problemsOf(form)).toHaveProperty("program");
    expect(problemsOf({ ...form, check: "http", status: "99" })).toHaveProperty("status");
    expect(problemsOf(formOf(defaultSettings))).toEqual({});
  });
});
