import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Attached, Bench, ptpNetwork } from "../support/attach.ts";
import { output } from "../support/node.ts";

// What CHECK of type ptp sees, by name; and what it must not mind, because later plugins of a chain or the kernel do it.

const bench = new Bench();
const config = ptpNetwork({ ipMasq: true });

const portOf = ({ result }: Attached): string => result.interfaces?.[0]?.name ?? "";
const check = (attached: Attached) => ({ ...attached.who, command: "CHECK" });

describe("CHECK finds", () => {
  it.each<[what: string, spoil: (attached: Attached) => void, words: string[]]>([
    [
      "an address that is gone",
      ({ sandbox }) => sandbox.ip("address", "del", "fd00:91::2/64", "dev", "eth0"),
      ["find address fd00:91::2/64"],
    ],
    [
      "no way to the gateway",
      ({ sandbox }) => sandbox.ip("route", "del", "10.91.0.1", "dev", "eth0"),
      ["find route 10.91.0.1/32"],
    ],
    [
      "a network that is on the link",
      ({ sandbox }) => {
        sandbox.ip("route", "del", "10.91.0.0/24");
        sandbox.ip("route", "add", "10.91.0.0/24", "dev", "eth0");
      },
      ["find route 10.91.0.0/24 via 10.91.0.1"],
    ],
    ["a route of IPAM's that is gone", ({ sandbox }) => sandbox.ip("-6", "route", "del", "default"), ["default via fd00:91::1"]],
    [
      "a container's interface that is down",
      ({ sandbox }) => sandbox.ip("link", "set", "eth0", "down"),
      ['its state is "down", expected "up"'],
    ],
    [
      "another MAC",
      ({ sandbox }) => sandbox.ip("link", "set", "eth0", "address", "02:00:00:00:00:09"),
      ["its MAC address", "02:00:00:00:00:09"],
    ],
    ["a host end that is down", (attached) => output("ip", "link", "set", portOf(attached), "down"), ['its state is "down"']],
    [
      "another MTU at the host end",
      (attached) => output("ip", "link", "set", portOf(attached), "mtu", "1280"),
      ["its MTU is 1280, expected 1500"],
    ],
    ["a pair that is gone", (attached) => output("ip", "link", "del", portOf(attached)), ["find the host end", "not found"]],
    [
      "no gateway address at the host end",
      (attached) => output("ip", "address", "del", "fd00:91::1/128", "dev", portOf(attached)),
      ["find gateway address fd00:91::1/128"],
    ],
    [
      "no route of the node's to the container",
      (attached) => output("ip", "route", "del", "10.91.0.2", "dev", portOf(attached)),
      ["find the node's route to 10.91.0.2"],
    ],
    [
      "forwarding that is off",
      () => writeFileSync("/proc/sys/net/ipv4/ip_forward", "0"),
      ['sysctl net/ipv4/ip_forward is "0", expected "1"'],
    ],
    [
      "masquerading that is gone",
      () => output("nft", "flush", "map", "inet", "podlink", "masqueraded6"),
      ['find fd00:91::2 in map "inet podlink masqueraded6"'],
    ],
    ["a lease that is gone", () => output("rm", "/var/lib/cni/networks/net1/10.91.0.2"), ["check the addresses with IPAM"]],
  ])("%s", (_what, spoil, words) => {
    const attached = bench.attach(config);
    bench.caller.succeed(check(attached));
    spoil(attached);
    const { code, msg } = bench.caller.fail(check(attached));
    expect(code).toBe(999);
    for (const word of words) expect(msg).toContain(word);
  });

  it("everything that is wrong at once", () => {
    const attached = bench.attach(config);
    attached.sandbox.ip("route", "del", "default");
    output("ip", "route", "del", "10.91.0.2");
    const { msg } = bench.caller.fail(check(attached));
    for (const word of ["default via 10.91.0.1", "the node's route to 10.91.0.2"]) expect(msg).toContain(word);
  });
});

describe("CHECK does not mind", () => {
  it.each<[what: string, change: (attached: Attached) => void]>([
    ["another MTU of the container's interface", ({ sandbox }) => sandbox.ip("link", "set", "eth0", "mtu", "1300")],
    ["further addresses", ({ sandbox }) => sandbox.ip("address", "add", "10.5.0.1/24", "dev", "eth0")],
    [
      "routes moved to another table",
      ({ sandbox }) => {
        sandbox.ip("route", "del", "default");
        sandbox.ip("route", "add", "default", "via", "10.91.0.1", "table", "100");
      },
    ],
    ["a further route of the node's", (attached) => output("ip", "route", "add", "10.5.0.0/16", "dev", portOf(attached))],
    ["a queue at the host end", (attached) => output("tc", "qdisc", "add", "dev", portOf(attached), "root", "pfifo")],
  ])("%s", (_what, change) => {
    const attached = bench.attach(config);
    change(attached);
    bench.caller.succeed(check(attached));
  });
});
