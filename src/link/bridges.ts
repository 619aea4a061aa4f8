import type { LinkMessage } from "../netlink/route/link.ts";
import { IFF } from "../netlink/route/link.ts";
import { shellWord } from "../support/shell-word.ts";
import { isErrno } from "../sys/errno.ts";
import { needingVlanFiltering } from "./bridge-vlans.ts";
import { createLink, findLink, getLink, type Link, setLink } from "./links.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { preferSysctls } from "./sysctl.ts";
import { randomMac } from "./veth.ts";

/** What a bridge shall be when it has to be made; one that exists keeps its MTU and VLAN filtering. */
export interface BridgeWish {
  readonly name: string;
  /** 0: the kernel's default. */
  readonly mtu: number;
  readonly vlanFiltering: boolean;
  readonly promiscuous: boolean;
}

/** Another kind of link has the bridge's name. */
export class NotABridgeError extends Error {
  constructor(name: string, kind: string | undefined) {
    super(
      `Cannot use "${name}" as a bridge: a link of that name exists and is ${kind === undefined ? "not a bridge" : `of kind ${kind}`}`,
    );
  }
}

/** The bridge of this name, or undefined. @throws NotABridgeError */
export function findBridge(host: NetworkNamespace, name: string): Link | undefined {
  const link = findLink(host, name);
  if (link !== undefined && link.kind !== "bridge") throw new NotABridgeError(name, link.kind);
  return link;
}

/**
 * Finds or makes the bridge, up, without router advertisements. A new one has its MAC set from the start: a bridge that
 * was given none takes the lowest of its ports' and changes it as containers come and go.
 */
export function ensureBridge(host: NetworkNamespace, wish: BridgeWish): Link {
  const bridge = findBridge(host, wish.name) ?? createBridge(host, wish);
  if (wish.promiscuous && !bridge.promiscuous) {
    setLink(host, bridge, { command: "promisc on", message: { flags: IFF.PROMISC, change: IFF.PROMISC } });
  }
  if (!bridge.up) {
    // Without a link-local address that is settled the host asks for no IPv6 neighbour on behalf of packets that it passes on
    const six = `net/ipv6/conf/${bridge.name}`;
    preferSysctls(host, { [`${six}/accept_ra`]: "0", [`${six}/accept_dad`]: "0" });
    setLink(host, bridge, { command: "up", message: { flags: IFF.UP, change: IFF.UP } });
  }
  return bridge;
}

function createBridge(host: NetworkNamespace, wish: BridgeWish): Link {
  const mac = randomMac();
  const words = [
    "ip link add",
    shellWord(wish.name),
    ...(wish.mtu === 0 ? [] : ["mtu", wish.mtu]),
    "address",
    mac,
    "type bridge",
  ];
  if (wish.vlanFiltering) words.push("vlan_filtering 1");
  const message: Partial<LinkMessage> = {
    name: wish.name,
    address: mac,
    ...(wish.mtu === 0 ? {} : { mtu: wish.mtu }),
    linkInfo: { kind: "bridge", ...(wish.vlanFiltering ? { data: { vlanFiltering: true } } : {}) },
  };
  try {
    const create = () => createLink(host, words.join(" "), message);
    if (wish.vlanFiltering) needingVlanFiltering(create);
    else create();
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error; // another call made it in the meantime
  }
  return findBridge(host, wish.name) ?? getLink(host, wish.name);
}

/** Writes a bridge's MAC, so that it no longer follows its ports; one that never had any is given one. */
export function pinMac(host: NetworkNamespace, bridge: Link): string {
  const address = bridge.mac === "00:00:00:00:00:00" ? randomMac() : bridge.mac;
  setLink(host, bridge, { command: `address ${address}`, message: { address } });
  return address;
}

/** How a port of a bridge shall behave. */
export interface PortWish {
  /** The bridge to attach it to; absent: it is attached already. */
  readonly master?: { readonly name: string; readonly index: number };
  readonly hairpin: boolean;
  readonly isolated: boolean;
  /** What `ip link` shows beside the name: whose link it is. */
  readonly alias: string;
}

/** Sets a new port's flags and alias and brings it up, in one request (two when it is still to be attached: its flags need a master). */
export function startPort(host: NetworkNamespace, port: { readonly name: string; readonly index: number }, wish: PortWish): void {
  preferSysctls(host, { [`net/ipv6/conf/${port.name}/accept_ra`]: "0" }); // before it is up: nothing must come from an advertisement
  const { master, hairpin, isolated, alias } = wish;
  if (master !== undefined)
    setLink(host, port, { command: `master ${shellWord(master.name)}`, message: { master: master.index } });
  const words = [
    `up alias ${shellWord(alias)} type bridge_slave hairpin ${hairpin ? "on" : "off"}`,
    ...(isolated ? ["isolated on"] : []),
  ];
  setLink(host, port, {
    command: words.join(" "),
    message: {
      flags: IFF.UP,
      change: IFF.UP,
      alias,
      // Kernels before 4.18 do not know isolation; off is what a new port has anyway
      linkInfo: { slaveKind: "bridge", slaveData: isolated ? { hairpin, isolated } : { hairpin } },
    },
  });
}
