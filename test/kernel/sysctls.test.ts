import { beforeEach, describe, expect, it } from "vitest";
import { preferSysctls, readSysctl, writeSysctls } from "../../src/link/sysctl.ts";
import { hideMachineState, output } from "../support/node.ts";
import { addContainer, givenSysctls, makeStage, type Stage } from "../support/stage.ts";

let stage: Stage;
beforeEach(() => {
  stage = makeStage();
});

const FORWARD = "net/ipv4/ip_forward";

describe("sysctls", () => {
  it("are read as sysctl reads them, in the host and in a container", () => {
    const { container } = addContainer(stage);
    givenSysctls({ "net/ipv4/ip_forward": "1" });
    container.inside(() => givenSysctls({ "net/ipv4/ip_forward": "0" }));
    expect([readSysctl(stage.host, FORWARD), readSysctl(container, FORWARD)]).toEqual(["1", "0"]);
    expect(readSysctl(stage.host, FORWARD)).toBe("1"); // back home after the visit
  });

  it("are undefined where the kernel has none of that name", () => {
    expect(readSysctl(stage.host, "net/ipv4/conf/nosuch0/arp_notify")).toBeUndefined();
  });

  it("are written in order, and only where they are not so already", () => {
    const { container, path } = addContainer(stage);
    container.inside(() => givenSysctls({ "net/ipv4/ip_forward": "0", "net/ipv4/conf/lo/arp_notify": "1" }));
    const values = { [FORWARD]: "1", "net/ipv4/conf/lo/arp_notify": "1", "net/ipv6/conf/lo/accept_ra": "0" };
    expect(writeSysctls(container, values)).toEqual([]);
    expect(Object.keys(values).map((key) => readSysctl(container, key))).toEqual(["1", "1", "0"]);
    expect(stage.commands()).toEqual([
      `nsenter --net=${path} sysctl -w net/ipv4/ip_forward=1`,
      `nsenter --net=${path} sysctl -w net/ipv6/conf/lo/accept_ra=0`,
    ]);
    expect(writeSysctls(container, values)).toEqual([]);
    expect(stage.commands()).toHaveLength(2);
  });

  it("that the kernel does not have are named, and the others written", () => {
    const missing = "net/ipv6/conf/nosuch0/accept_ra";
    givenSysctls({ "net/ipv4/ip_forward": "0" });
    expect(writeSysctls(stage.host, { [missing]: "0", [FORWARD]: "1" })).toEqual([missing]);
    expect(readSysctl(stage.host, FORWARD)).toBe("1");
  });

  it("that are good to have do not matter where /proc/sys is read-only, those that are needed do", () => {
    givenSysctls({ [FORWARD]: "0" });
    hideMachineState(); // a mount namespace of our own
    output("mount", "--bind", "/proc/sys", "/proc/sys");
    output("mount", "-o", "remount,bind,ro", "/proc/sys");
    try {
      preferSysctls(stage.host, { [FORWARD]: "1" });
      expect(() => writeSysctls(stage.host, { [FORWARD]: "1" })).toThrow("EROFS");
    } finally {
      output("umount", "/proc/sys");
    }
    expect(readSysctl(stage.host, FORWARD)).toBe("0");
    expect(stage.steps.list.map(({ error }) => error)).toEqual([
      expect.stringContaining("EROFS"),
      expect.stringContaining("EROFS"),
    ]);
  });

  it("refuse values that cannot be, and the refusal is recorded", () => {
    expect(() => writeSysctls(stage.host, { "net/ipv6/conf/lo/mtu": "not a number" })).toThrow("EINVAL");
    expect(stage.steps.list).toMatchObject([
      { command: "sysctl -w net/ipv6/conf/lo/mtu='not a number'", error: expect.stringContaining("EINVAL") },
    ]);
  });
});
