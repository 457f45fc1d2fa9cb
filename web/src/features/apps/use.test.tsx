import { render, screen } from "@testing-library/react";
import { describe, expect, it } from "vitest";
import { makeInstance, makeNode } from "@/testing/data";
import { Unenforced, Use } from "./use";

const instance = makeInstance(makeNode("worker-1"), { wanted: true, state: "healthy" });

describe("the use of an instance", () => {
  it("is shown beside what it may use, as far as there is a limit", () => {
    const limited = {
      ...instance,
      isolation: { ...instance.isolation, disk_mb: 20, egress_mbit: 16 },
    };
    const { container } = render(<Use instance={limited} />);
    expect(container).toHaveTextContent("12 of 512 processes");
    expect(container).toHaveTextContent("of 20 MiB on disk");
    expect(container).toHaveTextContent("0.03 Mbit/s in · 0.25 of 16 Mbit/s out");
  });
  it("says which limit does not hold on the node, and why", () => {
    const unenforced = [{ setting: "isolation.disk_mb", why: "extfs has no quota" }];
    render(<Unenforced instance={{ ...instance, unenforced }} />);
    expect(screen.getByTitle("extfs has no quota")).toHaveTextContent(
      "isolation.disk_mb is not enforced here",
    );
  });
});
