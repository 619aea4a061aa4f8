import { rmSync } from "node:fs";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { callProcess, podlink, reference } from "../support/implementation.ts";
import { freshNode, hideMachineState, makeSandbox, output, type Sandbox } from "../support/node.ts";
import { lacking } from "../support/reference.ts";

// CHECK after somebody changed something: whatever the reference finds podlink finds, what it lets pass because it is somebody's right
// podlink lets pass, and the rest of what ADD made podlink finds beside.

const config = {
  cniVersion: "1.1.0",
  name: "net1",
  type: "bridge",
  bridge: "br0",
  isDefaultGateway: true,
  ipam: {
    type: "host-local",
    ranges: [[{ subnet: "10.1.2.0/24" }], [{ subnet: "fd01::/64" }]],
    routes: [{ dst: "10.8.0.0/16" }],
  },
};

interface Change {
  readonly title: string;
  make(sandbox: Sandbox, port: string): unknown;
}

const found: readonly Change[] = [
  { title: "the address deleted", make: (sandbox) => sandbox.ip("address", "del", "10.1.2.2/24", "dev", "eth0") },
  { title: "the IPv6 address deleted", make: (sandbox) => sandbox.ip("address", "del", "fd01::2/64", "dev", "eth0") },
  {
    title: "another prefix length",
    make: (sandbox) => [
      sandbox.ip("address", "add", "10.1.2.2/25", "dev", "eth0"),
      sandbox.ip("address", "del", "10.1.2.2/24", "dev", "eth0"),
    ],
  },
  { title: "a route deleted", make: (sandbox) => sandbox.ip("route", "del", "10.8.0.0/16") },
  { title: "the default route deleted", make: (sandbox) => sandbox.ip("route", "del", "default") },
  { title: "the IPv6 default route deleted", make: (sandbox) => sandbox.ip("-6", "route", "del", "default") },
  { title: "the interface deleted", make: (sandbox) => sandbox.ip("link", "del", "eth0") },
  { title: "the interface down", make: (sandbox) => sandbox.ip("link", "set", "eth0", "down") },
  {
    title: "the interface renamed",
    make: (sandbox) => [sandbox.ip("link", "set", "eth0", "down"), sandbox.ip("link", "set", "eth0", "name", "eth1")],
  },
  { title: "another MAC address", make: (sandbox) => sandbox.ip("link", "set", "eth0", "address", "c2:11:22:33:44:55") },
  { title: "the port taken from the bridge", make: (_sandbox, port) => output("ip", "link", "set", port, "nomaster") },
  {
    title: "the port on another bridge",
    make: (_sandbox, port) => [
      output("ip", "link", "add", "br1", "type", "bridge"),
      output("ip", "link", "set", port, "master", "br1"),
    ],
  },
  { title: "the bridge deleted", make: () => output("ip", "link", "del", "br0") },
  { title: "the bridge's MAC address changed", make: () => output("ip", "link", "set", "br0", "address", "c2:11:22:33:44:55") },
  { title: "the leases deleted", make: () => rmSync("/var/lib/cni/networks/net1", { recursive: true }) },
];

const rightful: readonly Change[] = [
  { title: "an address added", make: (sandbox) => sandbox.ip("address", "add", "10.7.0.1/24", "dev", "eth0") },
  { title: "a route added", make: (sandbox) => sandbox.ip("route", "add", "10.7.0.0/16", "via", "10.1.2.1") },
  {
    title: "a second default route",
    make: (sandbox) => sandbox.ip("route", "add", "default", "via", "10.1.2.9", "metric", "50"),
  },
  { title: "another MTU", make: (sandbox) => sandbox.ip("link", "set", "eth0", "mtu", "1300") },
  { title: "an address added to the bridge", make: () => output("ip", "address", "add", "10.7.0.1/24", "dev", "br0") },
  {
    title: "a sysctl changed",
    make: (sandbox) => sandbox.run(() => output("sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/eth0/arp_filter")),
  },
];

const foundByPodlink: readonly Change[] = [
  { title: "one of two leases deleted", make: () => rmSync("/var/lib/cni/networks/net1/10.1.2.2") },
  { title: "the port down", make: (_sandbox, port) => output("ip", "link", "set", port, "down") },
  { title: "the bridge down", make: () => output("ip", "link", "set", "br0", "down") },
  {
    title: "hairpin mode switched on",
    make: (_sandbox, port) => output("ip", "link", "set", port, "type", "bridge_slave", "hairpin", "on"),
  },
  {
    title: "the port isolated",
    make: (_sandbox, port) => output("ip", "link", "set", port, "type", "bridge_slave", "isolated", "on"),
  },
  { title: "the gateway's address deleted", make: () => output("ip", "address", "del", "10.1.2.1/24", "dev", "br0") },
  { title: "forwarding switched off", make: () => output("sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward") },
];

const missing = lacking(reference.path);

describe.skipIf(missing !== "")(`podlink's CHECK beside the reference's${missing}`, () => {
  beforeAll(hideMachineState);
  beforeEach(freshNode);

  /** Attaches a container, makes the change, and asks each of the two. */
  function afterChange({ make }: Change): { theirs: number | null; ours: number | null; said: unknown } {
    const sandbox = makeSandbox();
    const who = { type: "bridge", netns: sandbox.path };
    const { output: prevResult } = callProcess(podlink, { ...who, command: "ADD", config });
    const [, port] = (prevResult as { interfaces: { name: string }[] }).interfaces;
    const check = { ...who, command: "CHECK", config: { ...config, prevResult } };
    expect([reference, podlink].map((one) => callProcess(one, check))).toMatchObject([{ exitCode: 0 }, { exitCode: 0 }]);
    make(sandbox, port?.name ?? "");
    const [theirs, ours] = [reference, podlink].map((one) => callProcess(one, check));
    return { theirs: theirs?.exitCode ?? null, ours: ours?.exitCode ?? null, said: ours?.output?.msg };
  }

  it.each(found)("both find $title", (change) => {
    expect(afterChange(change)).toEqual({ theirs: 1, ours: 1, said: expect.any(String) });
  });

  it.each(rightful)("both let pass $title", (change) => {
    expect(afterChange(change)).toEqual({ theirs: 0, ours: 0, said: undefined });
  });

  it.each(foundByPodlink)("podlink alone finds $title", (change) => {
    expect(afterChange(change)).toEqual({ theirs: 0, ours: 1, said: expect.any(String) });
  });
});
