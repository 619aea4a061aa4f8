import { bridgeVlanMessage, RTEXT_FILTER_BRVLAN, VLAN_FLAG } from "../netlink/route/link.ts";
import { AF, RTM } from "../netlink/route/message-types.ts";
import { reason } from "../support/errors.ts";
import { shellWord } from "../support/shell-word.ts";
import { isErrno } from "../sys/errno.ts";
import type { NetworkNamespace } from "./namespace.ts";

/** A VLAN of a bridge port. */
export interface PortVlan {
  readonly id: number;
  /** Frames that arrive untagged belong to this VLAN. */
  readonly pvid: boolean;
  /** Frames leave without a tag. */
  readonly untagged: boolean;
}

interface Port {
  readonly name: string;
  readonly index: number;
}

/** The kernel was built without CONFIG_BRIDGE_VLAN_FILTERING. */
export class VlanFilteringError extends Error {}

/** Runs a change that only a bridge can do that filters VLANs. @throws VlanFilteringError where the kernel cannot */
export function needingVlanFiltering<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!isErrno(error, "EOPNOTSUPP")) throw error;
    const why = "bridges of this kernel cannot filter VLANs (CONFIG_BRIDGE_VLAN_FILTERING is not set)";
    throw new VlanFilteringError(`${reason(error)}: ${why}`, { cause: error });
  }
}

/** The VLANs of one port, as the kernel has them. */
export function listPortVlans(host: NetworkNamespace, port: Port): PortVlan[] {
  const body = bridgeVlanMessage.encode({ family: AF.BRIDGE, extMask: RTEXT_FILTER_BRVLAN });
  return host.netlink
    .dump({ type: RTM.GETLINK, body })
    .map((reply) => bridgeVlanMessage.decode(reply))
    .filter((message) => message.index === port.index)
    .flatMap((message) => message.vlans ?? [])
    .map(({ vid, flags }) => ({ id: vid, pvid: (flags & VLAN_FLAG.PVID) !== 0, untagged: (flags & VLAN_FLAG.UNTAGGED) !== 0 }));
}

/** Adds VLANs to a port in one request. @throws VlanFilteringError where the kernel lacks CONFIG_BRIDGE_VLAN_FILTERING */
export function addPortVlans(host: NetworkNamespace, port: Port, vlans: readonly PortVlan[]): void {
  changePortVlans(host, port, { verb: "add", vlans });
}

/** Takes VLANs off a port in one request. */
export function deletePortVlans(host: NetworkNamespace, port: Port, vlans: readonly PortVlan[]): void {
  changePortVlans(host, port, { verb: "del", vlans });
}

function changePortVlans(host: NetworkNamespace, port: Port, change: { verb: "add" | "del"; vlans: readonly PortVlan[] }): void {
  if (change.vlans.length === 0) return;
  const body = bridgeVlanMessage.encode({
    family: AF.BRIDGE,
    index: port.index,
    vlans: change.vlans.map(({ id, pvid, untagged }) => ({
      vid: id,
      flags: change.verb === "del" ? 0 : (pvid ? VLAN_FLAG.PVID : 0) | (untagged ? VLAN_FLAG.UNTAGGED : 0),
    })),
  });
  const command = change.vlans
    .map(
      ({ id, pvid, untagged }) =>
        `bridge vlan ${change.verb} dev ${shellWord(port.name)} vid ${id}${pvid ? " pvid" : ""}${untagged ? " untagged" : ""}`,
    )
    .join("; ");
  const type = change.verb === "add" ? RTM.SETLINK : RTM.DELLINK;
  needingVlanFiltering(() => host.change(command, () => host.netlink.change({ type, body })));
}
