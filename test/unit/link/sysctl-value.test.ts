import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { collapse, sameSysctlValue } from "../../../src/link/sysctl-value.ts";

const PORTS = "net/ipv4/ip_local_reserved_ports";

describe("sameSysctlValue", () => {
  // [key, what was wanted, what the kernel shows], as Linux 6.18 showed it
  it.each([
    ["net/ipv4/tcp_rmem", "4096 131072 6291456", "4096\t131072\t6291456"],
    ["net/ipv4/tcp_rmem", " 4096  131072 ", "4096\t131072\t6291456"],
    ["net/core/somaxconn", "0x11", "17"],
    ["net/core/somaxconn", "010", "8"],
    ["net/core/somaxconn", "0", "0"],
    ["net/core/somaxconn", "-1", "-1"],
    ["net/ipv4/tcp_congestion_control", "reno", "reno"],
    ["net/ipv4/neigh/eth0/retrans_time_ms", "1001", "1004"],
    ["net/ipv4/icmp_ratelimit", "7", "8"],
    ["net/ipv4/neigh/eth0/locktime", "1", "0"],
    ["net/ipv6/conf/eth0/stable_secret", "fd00::1", "fd00:0000:0000:0000:0000:0000:0000:0001"],
    [PORTS, "8080,9000-9001,9002", "8080,9000-9002"],
    [PORTS, "9 8 7", "7-9"],
    [PORTS, "", ""],
  ])("%s: %j is shown as %j", (key, wanted, present) => expect(sameSysctlValue(key, { wanted, present })).toBe(true));

  it.each([
    ["net/core/somaxconn", "1", "2"],
    ["net/core/somaxconn", "1", ""],
    ["net/core/somaxconn", "", "1"],
    ["net/core/somaxconn", "0x1g", "1"],
    ["net/ipv4/tcp_rmem", "4096 131072 6291456", "4096\t131072"],
    ["net/ipv4/ping_group_range", "9 7", "1\t0"],
    ["net/ipv4/neigh/eth0/retrans_time_ms", "1000", "1010"],
    ["net/ipv4/tcp_congestion_control", "reno", "cubic"],
    [PORTS, "8080", "8080-8081"],
    [PORTS, "a", "b"],
  ])("%s: %j is not %j", (key, wanted, present) => expect(sameSysctlValue(key, { wanted, present })).toBe(false));

  it("takes any white space for any other", () => {
    const space = fc.stringMatching(/^[ \t\n]{1,4}$/);
    const words = fc.array(fc.tuple(fc.stringMatching(/^[a-z0-9]{1,6}$/), space), { minLength: 1 });
    fc.assert(
      fc.property(words, (pairs) => {
        const wanted = pairs.map(([word, between]) => word + between).join("");
        return sameSysctlValue("net/x", { wanted, present: pairs.map(([word]) => word).join("\t") });
      }),
    );
  });

  it("knows port lists as the kernel prints them, in whatever order and pieces they are given", () => {
    const port = fc.integer({ min: 1, max: 300 });
    fc.assert(
      fc.property(fc.uniqueArray(port, { minLength: 1, maxLength: 40 }), (ports) => {
        const sorted = [...ports].sort((one, other) => one - other);
        const shown: string[] = [];
        for (let start = 0, end = 0; start < sorted.length; start = end) {
          for (end = start + 1; sorted[end] === (sorted[end - 1] ?? 0) + 1; ) end++;
          shown.push(end === start + 1 ? `${sorted[start]}` : `${sorted[start]}-${sorted[end - 1]}`);
        }
        return sameSysctlValue(PORTS, { wanted: ports.join(","), present: shown.join(",") });
      }),
    );
  });
});

it("collapse has a value on one line", () => expect(collapse("\t1\t 2\n")).toBe("1 2"));
