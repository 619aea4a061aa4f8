import { rmSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Attached, Bench, bridgeNetwork, l2Network } from "../support/attach.ts";
import { makeSandbox, output } from "../support/node.ts";

// What CHECK of type bridge sees, by name; and what it must not mind, because later plugins of a chain or the kernel do it.

const bench = new Bench();

const config = bridgeNetwork({ isDefaultGateway: true, hairpinMode: true });

const portOf = ({ result }: Attached): string => result.interfaces?.[1]?.name ?? "";
const check = (attached: Attached) => ({ ...attached.who, command: "CHECK" });

describe("CHECK finds", () => {
  it.each<[what: string, spoil: (attached: Attached) => void, words: string[]]>([
    [
      "an address that is gone",
      ({ sandbox }) => sandbox.ip("address", "del", "10.91.0.2/24", "dev", "eth0"),
      ["10.91.0.2/24", '"eth0" has'],
    ],
    [
      "an address with another length",
      ({ sandbox }) => {
        sandbox.ip("address", "del", "10.91.0.2/24", "dev", "eth0");
        sandbox.ip("address", "add", "10.91.0.2/16", "dev", "eth0");
      },
      ["find address 10.91.0.2/24", "10.91.0.2/16"],
    ],
    [
      "an IPv6 address that is gone",
      ({ sandbox }) => sandbox.ip("address", "del", "fd00:91::2/64", "dev", "eth0"),
      ["fd00:91::2/64"],
    ],
    ["a route that is gone", ({ sandbox }) => sandbox.ip("route", "del", "default"), ["route default via 10.91.0.1"]],
    [
      "a route through another gateway",
      ({ sandbox }) => sandbox.ip("route", "replace", "default", "via", "10.91.0.200"),
      ["route default via 10.91.0.1", "10.91.0.200"],
    ],
    [
      "a container's interface that is down",
      ({ sandbox }) => sandbox.ip("link", "set", "eth0", "down"),
      ['its state is "down", expected "up"'],
    ],
    [
      "a container's interface with another name",
      ({ sandbox }) => {
        sandbox.ip("link", "set", "eth0", "down");
        sandbox.ip("link", "set", "eth0", "name", "eth9");
      },
      ['find "eth0" in the container'],
    ],
    [
      "another MAC",
      ({ sandbox }) => sandbox.ip("link", "set", "eth0", "address", "02:00:00:00:00:09"),
      ["its MAC address", "02:00:00:00:00:09"],
    ],
    [
      "a port that was taken off the bridge",
      (attached) => output("ip", "link", "set", portOf(attached), "nomaster"),
      ['its master is missing, expected "br1"'],
    ],
    [
      "a port that is down",
      (attached) => output("ip", "link", "set", portOf(attached), "down"),
      ['its state is "down", expected "up"'],
    ],
    [
      "another MTU of the port",
      (attached) => output("ip", "link", "set", portOf(attached), "mtu", "1300"),
      ["its MTU is 1300, expected 1500"],
    ],
    [
      "hairpin mode that was switched off",
      (attached) => output("bridge", "link", "set", "dev", portOf(attached), "hairpin", "off"),
      ["its hairpin mode is false, expected true"],
    ],
    [
      "isolation that was switched on",
      (attached) => output("bridge", "link", "set", "dev", portOf(attached), "isolated", "on"),
      ["its isolation is true, expected false"],
    ],
    ["a bridge that is down", () => output("ip", "link", "set", "br1", "down"), ['check bridge "br1"', 'its state is "down"']],
    [
      "a bridge with another MAC",
      () => output("ip", "link", "set", "br1", "address", "02:00:00:00:00:08"),
      ["its MAC address", "02:00:00:00:00:08"],
    ],
    ["a bridge that is gone", () => output("ip", "link", "del", "br1"), ['find bridge "br1"', "it does not exist"]],
    [
      "a gateway address that is gone",
      () => output("ip", "address", "del", "10.91.0.1/24", "dev", "br1"),
      ["find gateway address 10.91.0.1/24"],
    ],
    [
      "forwarding that was switched off",
      () => output("sysctl", "-qw", "net.ipv4.ip_forward=0"),
      ["net/ipv4/ip_forward", 'is "0", expected "1"'],
    ],
    [
      "a lease that is gone",
      () => rmSync("/var/lib/cni/networks/net1/10.91.0.2"),
      ["check the addresses with IPAM", "10.91.0.2"],
    ],
  ])("%s", (_what, spoil, words) => {
    const attached = bench.attach(config);
    bench.caller.succeed(check(attached));
    spoil(attached);
    const { code, msg, steps } = bench.caller.fail(check(attached));
    expect({ code, steps }).toEqual({ code: 999, steps: [] });
    for (const word of words) expect(msg).toContain(word);
    bench.detach(attached);
  });

  it("everything that is wrong at once", () => {
    const attached = bench.attach(config);
    output("ip", "link", "set", portOf(attached), "nomaster");
    attached.sandbox.ip("address", "del", "10.91.0.2/24", "dev", "eth0");
    rmSync("/var/lib/cni/networks/net1/fd00:91::2");
    const { msg } = bench.caller.fail(check(attached));
    for (const word of ["its master is missing", "find address 10.91.0.2/24", "fd00:91::2"]) expect(msg).toContain(word);
  });

  it("a namespace that is another one than the result says", () => {
    const attached = bench.attach(config);
    const other = makeSandbox();
    expect(bench.caller.fail({ ...check(attached), netns: other.path }).msg).toMatch(
      /sandbox of prevResult.*find "eth0" in the container/,
    );
  });

  it("a namespace that is gone, with the code for that", () => {
    const attached = bench.attach(config);
    attached.sandbox[Symbol.dispose]();
    expect(bench.caller.fail(check(attached))).toMatchObject({ code: 8 });
  });

  it("a result without the container's interface", () => {
    const attached = bench.attach(config);
    const broken = { ...config, prevResult: { ...attached.result, interfaces: [] } };
    expect(bench.caller.fail({ ...check(attached), config: broken }).msg).toContain('Cannot find "eth0"');
  });
});

describe("CHECK does not mind", () => {
  it.each<[what: string, change: (attached: Attached) => void]>([
    [
      "further addresses and routes",
      ({ sandbox }) => {
        sandbox.ip("address", "add", "10.99.0.1/32", "dev", "eth0");
        sandbox.ip("route", "add", "10.98.0.0/16", "via", "10.91.0.1");
      },
    ],
    [
      "a route that source routing moved to a table of its own",
      ({ sandbox }) => {
        sandbox.ip("route", "del", "default");
        sandbox.ip("route", "add", "default", "via", "10.91.0.1", "dev", "eth0", "table", "100");
      },
    ],
    ["another MTU", ({ sandbox }) => sandbox.ip("link", "set", "eth0", "mtu", "1400")],
    ["promiscuous mode on the container's interface", ({ sandbox }) => sandbox.ip("link", "set", "eth0", "promisc", "on")],
    ["other containers on the bridge", () => bench.attach(config)],
    ["another gateway's address on the bridge", () => output("ip", "address", "add", "10.92.0.1/24", "dev", "br1")],
  ])("%s", (_what, change) => {
    const attached = bench.attach(config);
    change(attached);
    bench.caller.succeed(check(attached));
  });

  it("that a network has no addresses", () => {
    const attached = bench.attach(l2Network());
    bench.caller.succeed(check(attached));
    output("ip", "link", "set", portOf(attached), "nomaster");
    expect(bench.caller.fail(check(attached)).msg).toContain("its master is missing");
  });
});
