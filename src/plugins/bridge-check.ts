import { openSandbox } from "../attachment/sandbox.ts";
import { addressingOf, expectSame, verifyAddresses, verifyRoutes } from "../attachment/verify.ts";
import type { CheckCall } from "../cni/plugin.ts";
import { Prefix } from "../ip/prefix.ts";
import { listAddresses } from "../link/addresses.ts";
import { listPortVlans } from "../link/bridge-vlans.ts";
import { findBridge } from "../link/bridges.ts";
import { findLink, getLink, type Link } from "../link/links.ts";
import { hostLinkName } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { readSysctl } from "../link/sysctl.ts";
import type { Failures } from "../support/errors.ts";
import type { BridgeConfig } from "./bridge-config.ts";
import { checkFirewall } from "./bridge-firewall.ts";

/** Compares what ADD made with what is there; every difference is kept in `failures` with what was expected and what is. */
export function checkBridge(call: CheckCall<BridgeConfig>, failures: Failures): void {
  const { attachment, config, netns, prevResult } = call;
  using sandbox = openSandbox(netns, call.steps);
  const { host, container } = sandbox;
  const interfaces = prevResult.interfaces ?? [];
  const place = interfaces.findIndex(
    (each) => each.name === attachment.ifname && each.sandbox !== undefined && each.sandbox !== "",
  );
  const expected = interfaces[place];
  if (expected === undefined)
    throw new Error(`Cannot find "${attachment.ifname}" with a sandbox among the interfaces of prevResult`);
  failures.attempt("match the sandbox", () =>
    expectSame("the sandbox of prevResult", { expected: netns, actual: expected.sandbox }),
  );

  const bridge = failures.attempt(`find bridge "${config.bridge}"`, () => {
    const link = findBridge(host, config.bridge);
    if (link === undefined) throw new Error("it does not exist");
    return link;
  });
  const inside = failures.attempt(`find "${attachment.ifname}" in the container`, () => getLink(container, attachment.ifname));
  if (bridge !== undefined) {
    const bridgeMac = interfaces.find((each) => each.name === config.bridge && (each.sandbox ?? "") === "")?.mac;
    failures.attempt(`check bridge "${config.bridge}"`, () => checkBridgeLink(bridge, config, bridgeMac));
    if (config.isGateway && config.ipamType !== undefined) checkGateway(host, { config, bridge, prevResult, failures });
  }
  const port = checkPort(host, { attachment, config, bridge, inside, interfaces, failures });
  if (inside === undefined) return;
  failures.attempt(`check "${inside.name}" in the container`, () => {
    expectSame("its kind", { expected: "veth", actual: inside.kind });
    if (expected.mac !== undefined) expectSame("its MAC address", { expected: expected.mac.toLowerCase(), actual: inside.mac });
    if (port !== undefined) expectSame("the link at its other end", { expected: port.index, actual: inside.peer });
    if (config.containerUp) expectSame("its state", { expected: "up", actual: inside.up ? "up" : "down" });
  });
  const plan = addressingOf(prevResult, place);
  // What another implementation attached, it protects in its own way
  if (port?.name === hostLinkName(attachment)) {
    const addresses = config.ipamType === undefined ? [] : plan.addresses.map(({ prefix }) => prefix);
    checkFirewall(host, call, { addresses, mac: (expected.mac ?? inside.mac).toLowerCase(), failures });
  }
  if (config.ipamType === undefined) return;
  verifyAddresses(container, inside, { plan, failures });
  verifyRoutes(container, inside, { plan, failures });
}

function checkBridgeLink(bridge: Link, config: BridgeConfig, mac: string | undefined): void {
  expectSame("its state", { expected: "up", actual: bridge.up ? "up" : "down" });
  if (config.promiscuous) expectSame("its promiscuous mode", { expected: "on", actual: bridge.promiscuous ? "on" : "off" });
  // Only containers that send to it know its MAC; a bridge that is no gateway may be somebody's whose MAC follows its ports
  if (config.isGateway && config.vlan === 0 && mac !== undefined)
    expectSame("its MAC address", { expected: mac.toLowerCase(), actual: bridge.mac });
}

function checkGateway(
  host: NetworkNamespace,
  options: { config: BridgeConfig; bridge: Link; prevResult: CheckCall<BridgeConfig>["prevResult"]; failures: Failures },
): void {
  const { config, bridge, failures, prevResult } = options;
  const name = config.vlan === 0 ? bridge.name : `${bridge.name}.${config.vlan}`;
  const link = failures.attempt(`find gateway link "${name}"`, () => (config.vlan === 0 ? bridge : getLink(host, name)));
  if (link === undefined) return;
  const present = listAddresses(host, link).map(({ prefix }) => prefix);
  for (const { address, gateway } of prevResult.ips ?? []) {
    if (gateway === undefined) continue;
    const wanted = Prefix.parse(`${gateway}/${Prefix.parse(address).length}`);
    failures.attempt(`find gateway address ${wanted}`, () => {
      // A container that stands alone (/32, /128) does not know the length of its gateway's network
      const alone = wanted.equals(Prefix.host(wanted.address));
      if (!present.some((prefix) => (alone ? prefix.address.equals(wanted.address) : prefix.equals(wanted))))
        throw new Error(`"${name}" has ${present.length === 0 ? "no address" : present.join(", ")}`);
    });
    const key = wanted.family === 4 ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding";
    failures.attempt("check forwarding", () => expectSame(`sysctl ${key}`, { expected: "1", actual: readSysctl(host, key) }));
  }
}

/** The host end: by the name that follows from the attachment, or, made by another implementation, the one prevResult lists. */
function checkPort(
  host: NetworkNamespace,
  options: Pick<CheckCall<BridgeConfig>, "attachment" | "config"> & {
    bridge: Link | undefined;
    inside: Link | undefined;
    interfaces: readonly { name: string; mtu?: number }[];
    failures: Failures;
  },
): Link | undefined {
  const { attachment, bridge, config, failures, inside } = options;
  const ours = hostLinkName(attachment);
  const port = failures.attempt("find the host end of the veth pair", () => {
    const found = findLink(host, ours) ?? (inside?.peer === undefined ? undefined : findLink(host, inside.peer));
    if (found === undefined || !options.interfaces.some((each) => each.name === found.name))
      throw new Error(`link "${ours}" not found`);
    return found;
  });
  if (port === undefined) return undefined;
  failures.attempt(`check port "${port.name}"`, () => {
    expectSame("its master", { expected: config.bridge, actual: masterName(host, port) });
    expectSame("its state", { expected: "up", actual: port.up ? "up" : "down" });
    expectSame("its hairpin mode", { expected: config.hairpin, actual: port.port?.hairpin ?? false });
    expectSame("its isolation", { expected: config.isolated, actual: port.port?.isolated ?? false });
    // The container's end is what later plugins change; a result of another implementation has no MTU
    const mtu = options.interfaces.find((each) => each.name === port.name)?.mtu;
    if (mtu !== undefined) expectSame("its MTU", { expected: mtu, actual: port.mtu });
  });
  if (config.portVlans.length > 0 && bridge !== undefined) {
    const present = failures.attempt(`list the VLANs of port "${port.name}"`, () => listPortVlans(host, port)) ?? [];
    for (const wanted of config.portVlans) {
      const found = present.find(({ id }) => id === wanted.id);
      const actual = found === undefined ? undefined : describeVlan(found);
      failures.attempt(`check the VLANs of port "${port.name}"`, () =>
        expectSame(`VLAN ${wanted.id}`, { expected: describeVlan(wanted), actual }),
      );
    }
  }
  return port;
}

function masterName(host: NetworkNamespace, port: Link): string | undefined {
  return port.master === undefined ? undefined : findLink(host, port.master)?.name;
}

function describeVlan({ pvid, untagged }: { pvid: boolean; untagged: boolean }): string {
  return `${pvid ? "pvid " : ""}${untagged ? "untagged" : "tagged"}`;
}
