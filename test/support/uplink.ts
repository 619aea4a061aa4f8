import { NetworkNamespace } from "../../src/link/namespace.ts";
import { waitUntilOperational } from "../../src/link/wait.ts";
import { Steps } from "../../src/support/steps.ts";
import { Netns } from "../../src/sys/netns.ts";
import type { Json } from "./call-plugin.ts";
import { makeSandbox, output, type Sandbox } from "./node.ts";

/** The node's link to the rest of the world. */
export const UPLINK = "up0";

/** Gives the node an uplink with a wire to a machine of its own, which has an address of each family there. @returns that machine */
export function makeUplink(): Sandbox {
  const peer = makeSandbox();
  output("ip", "link", "add", UPLINK, "type", "veth", "peer", "name", "eth0", "netns", peer.path);
  output("ip", "link", "set", UPLINK, "up");
  peer.ip("link", "set", "lo", "up");
  peer.ip("link", "set", "eth0", "up");
  peer.ip("address", "add", "10.91.0.1/24", "dev", "eth0");
  peer.ip("address", "add", "fd00:91::1/64", "dev", "eth0", "nodad");
  settle(peer);
  return peer;
}

/** The kernel takes a moment to see that a wire is up at both ends; what is sent before is lost. */
function settle(peer: Sandbox): void {
  const steps = new Steps();
  using host = NetworkNamespace.host(steps);
  using container = NetworkNamespace.container(Netns.open(peer.path), steps);
  for (const [namespace, name] of [
    [host, UPLINK],
    [container, "eth0"],
  ] as const) {
    if (waitUntilOperational(namespace, name, 10_000) === undefined) throw new Error(`"${name}" does not come up`);
  }
}

/** A network of a type whose interfaces stand upon the uplink, with addresses of both families from the wire's networks. */
export function upperNetwork(type: string, more: Json = {}): Json & { readonly type: string } {
  return {
    cniVersion: "1.1.0",
    name: "net1",
    type,
    master: UPLINK,
    ipam: { type: "host-local", ranges: [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd00:91::/64" }]] },
    ...more,
  };
}
