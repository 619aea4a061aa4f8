import type { Prefix } from "../ip/prefix.ts";
import { shellWord } from "../support/shell-word.ts";
import { isErrno } from "../sys/errno.ts";
import { addAddress, deleteAddress, listAddresses } from "./addresses.ts";
import { addPortVlans, deletePortVlans } from "./bridge-vlans.ts";
import { startPort } from "./bridges.ts";
import { createLink, deleteLink, findLink, getLink, type Link, setUp } from "./links.ts";
import { vlanGatewayPeerName } from "./names.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { preferSysctls, writeSysctls } from "./sysctl.ts";
import { randomMac } from "./veth.ts";

/** The bridge has another address where the gateway's should be, and nobody allowed to replace it. */
export class AddressConflictError extends Error {
  constructor(link: string, addresses: { present: Prefix; wanted: Prefix }) {
    super(`"${link}" already has an IP address different from ${addresses.wanted}: ${addresses.present}`);
  }
}

/**
 * Puts the gateway's address on the link. Another IPv4 address, or an IPv6 one of an overlapping network, is in the way:
 * replaced when `force`, else refused.
 * @returns whether the address is new
 * @throws AddressConflictError
 */
export function ensureGateway(host: NetworkNamespace, link: Link, options: { address: Prefix; force: boolean }): boolean {
  const { address, force } = options;
  const present = listAddresses(host, link, address.family).map(({ prefix }) => prefix);
  if (present.some((prefix) => prefix.equals(address))) return false;
  for (const prefix of present) {
    if (address.family === 6 && !prefix.overlaps(address)) continue;
    if (!force) throw new AddressConflictError(link.name, { present: prefix, wanted: address });
    deleteAddress(host, link, prefix);
  }
  try {
    addAddress(host, link, { prefix: address });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error; // another call was quicker
    return false;
  }
  return true;
}

/** Lets the host pass packets of these families on between its interfaces. */
export function enableForwarding(host: NetworkNamespace, families: ReadonlySet<4 | 6>): void {
  writeSysctls(host, {
    ...(families.has(4) ? { "net/ipv4/ip_forward": "1" } : {}),
    ...(families.has(6) ? { "net/ipv6/conf/all/forwarding": "1" } : {}),
  });
}

/**
 * The host's own foot in one VLAN of a bridge: a veth pair `<bridge>.<vlan>`, whose other end is a port with that VLAN untagged.
 * It belongs to the network and stays, as the bridge does.
 */
export function ensureVlanGatewayLink(
  host: NetworkNamespace,
  bridge: Link,
  options: { vlan: number; keepDefaultVlan: boolean },
): Link {
  const { vlan } = options;
  const name = `${bridge.name}.${vlan}`;
  if (name.length > 15)
    throw new Error(
      `Cannot name the gateway link of VLAN ${vlan} "${name}": longer than 15 characters, choose a shorter bridge name`,
    );
  const present = findLink(host, name);
  if (present?.up === true) return present; // up comes last: anything less was left by a call that died
  if (present !== undefined) deleteLink(host, name);
  const peer = vlanGatewayPeerName(bridge.name, vlan);
  const mac = randomMac();
  createLink(host, `ip link add ${shellWord(name)} address ${mac} type veth peer name ${peer}`, {
    name,
    address: mac,
    linkInfo: { kind: "veth", data: { peer: { name: peer } } },
  });
  attachToBridge(host, peer, { bridge, vlan, keepDefaultVlan: options.keepDefaultVlan });
  const link = getLink(host, name);
  preferSysctls(host, { [`net/ipv6/conf/${name}/accept_ra`]: "0", [`net/ipv6/conf/${name}/accept_dad`]: "0" }); // as the bridge's
  setUp(host, link);
  return link;
}

function attachToBridge(
  host: NetworkNamespace,
  name: string,
  options: { bridge: Link; vlan: number; keepDefaultVlan: boolean },
): void {
  const port = getLink(host, name);
  startPort(host, port, {
    master: options.bridge,
    hairpin: false,
    isolated: false,
    alias: `podlink gateway of ${options.bridge.name} in VLAN ${options.vlan}`,
  });
  if (!options.keepDefaultVlan) deletePortVlans(host, port, [{ id: 1, pvid: true, untagged: true }]);
  addPortVlans(host, port, [{ id: options.vlan, pvid: true, untagged: true }]);
}
