import { writeFileSync } from "node:fs";
import { makeSandbox, output, type Sandbox } from "./node.ts";

/** Another machine, on a wire of its own to the node. */
export interface Outside {
  readonly sandbox: Sandbox;
  readonly v4: string;
  readonly v6: string;
  /** The node's addresses on that wire. */
  readonly node: { readonly v4: string; readonly v6: string };
}

/** Puts it beside the node this process stands in. It finds its way back to every network through the node, masqueraded or not. */
export function makeOutside(): Outside {
  const sandbox = makeSandbox();
  output("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", sandbox.path);
  // Neighbours of what is forwarded are asked from link-local addresses: they shall be of use at once, not a second later
  writeFileSync("/proc/sys/net/ipv6/conf/uplink/accept_dad", "0");
  sandbox.run(() => writeFileSync("/proc/sys/net/ipv6/conf/eth0/accept_dad", "0"));
  output("ip", "address", "add", "192.0.2.1/24", "dev", "uplink");
  output("ip", "address", "add", "2001:db8::1/64", "dev", "uplink", "nodad");
  output("ip", "link", "set", "uplink", "up");
  sandbox.ip("address", "add", "192.0.2.9/24", "dev", "eth0");
  sandbox.ip("address", "add", "2001:db8::9/64", "dev", "eth0", "nodad");
  sandbox.ip("link", "set", "lo", "up");
  sandbox.ip("link", "set", "eth0", "up");
  sandbox.ip("route", "add", "default", "via", "192.0.2.1");
  sandbox.ip("route", "add", "default", "via", "2001:db8::1");
  return { sandbox, v4: "192.0.2.9", v6: "2001:db8::9", node: { v4: "192.0.2.1", v6: "2001:db8::1" } };
}
