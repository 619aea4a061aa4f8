import { flags, type NetlinkRequest } from "../netlink/connection.ts";
import { IFF, type LinkMessage, linkMessage } from "../netlink/route/link.ts";
import { RTM } from "../netlink/route/message-types.ts";
import { shellWord } from "../support/shell-word.ts";
import { isErrno } from "../sys/errno.ts";
import type { NetworkNamespace } from "./namespace.ts";

/** A network interface as the kernel shows it, in field words. */
export interface Link {
  readonly name: string;
  readonly index: number;
  /** `veth`, `bridge`, …; undefined for hardware and loopback. */
  readonly kind: string | undefined;
  readonly mac: string;
  readonly mtu: number;
  readonly up: boolean;
  /** Set by an administrator or by us, not counting packet captures. */
  readonly promiscuous: boolean;
  /** Whether it takes every multicast frame; set as `promiscuous` is. */
  readonly allMulticast: boolean;
  /** Packets that the link's default queue may hold. */
  readonly txQueueLength: number;
  /** IF_OPER_*. */
  readonly operState: number;
  /** Index of the bridge (or bond, or VRF) this is a port of. */
  readonly master: number | undefined;
  /** Index of the other end of a veth pair, in that end's namespace. */
  readonly peer: number | undefined;
  readonly alias: string | undefined;
  /** What the bridge knows of this port. */
  readonly port:
    | { readonly state?: number | undefined; readonly hairpin?: boolean | undefined; readonly isolated?: boolean | undefined }
    | undefined;
  readonly vlanFiltering: boolean | undefined;
  /** The link below this one (macvlan, ipvlan, vlan): its index in its own namespace, and that namespace's id where it is another one. */
  readonly parent: { readonly index: number; readonly netnsId: number | undefined } | undefined;
  /** Number of the group it is in; 0 unless somebody set one. */
  readonly group: number;
  /** What its kind alone has, undecoded kinds left out; read by the file of that kind. */
  readonly kindData: KindData | undefined;
}

/** Attributes of a kind, by their names in netlink/route/link.ts. */
export type KindData = Exclude<NonNullable<LinkMessage["linkInfo"]>["data"], Uint8Array | undefined>;

/** linux/if.h: IFNAMSIZ without the NUL. */
const LONGEST_NAME = 15;

/** The link of this name or index, or undefined. */
export function findLink(namespace: NetworkNamespace, key: string | number): Link | undefined {
  // no link's, and the kernel would read but a part of it
  if (typeof key === "string" && (Buffer.byteLength(key) > LONGEST_NAME || key.includes("\0"))) return undefined;
  const body = linkMessage.encode(typeof key === "number" ? { index: key } : { name: key });
  try {
    return toLink(linkMessage.decode(namespace.netlink.get({ type: RTM.GETLINK, body })));
  } catch (error) {
    if (isErrno(error, "ENODEV")) return undefined;
    throw error;
  }
}

/** The link of this name or index. @throws Error that says there is none */
export function getLink(namespace: NetworkNamespace, key: string | number): Link {
  const link = findLink(namespace, key);
  if (link === undefined) throw new Error(`Link ${typeof key === "number" ? `with index ${key}` : `"${key}"`} not found`);
  return link;
}

/** Every link of the namespace, or those of one kind, or the ports of one master. */
export function listLinks(namespace: NetworkNamespace, filter: { kind?: string; master?: number } = {}): Link[] {
  const body = linkMessage.encode({
    ...(filter.kind === undefined ? {} : { linkInfo: { kind: filter.kind } }),
    ...(filter.master === undefined ? {} : { master: filter.master }),
  });
  const links = namespace.netlink.dump({ type: RTM.GETLINK, body }).map((reply) => toLink(linkMessage.decode(reply)));
  // For a kind that it does not know (veth where no module is loaded yet, say) the kernel does not filter at all
  return filter.kind === undefined ? links : links.filter((link) => link.kind === filter.kind);
}

/** Changes attributes of a link. `command` is what `ip link` would be told, without `ip link set <name>`. */
export function setLink(
  namespace: NetworkNamespace,
  link: { readonly name: string; readonly index: number },
  change: { command: string; message: Partial<LinkMessage> },
): void {
  const body = linkMessage.encode({ ...change.message, index: link.index });
  changeLinks(namespace, `ip link set ${shellWord(link.name)} ${change.command}`, { type: RTM.NEWLINK, body });
}

/** Sets a link administratively up. */
export function setUp(namespace: NetworkNamespace, link: { readonly name: string; readonly index: number }): void {
  setLink(namespace, link, { command: "up", message: { flags: IFF.UP, change: IFF.UP } });
}

/** Sets a link administratively down. */
export function setDown(namespace: NetworkNamespace, link: { readonly name: string; readonly index: number }): void {
  setLink(namespace, link, { command: "down", message: { flags: 0, change: IFF.UP } });
}

/** Creates a link. @throws NetlinkError EEXIST when the name is taken */
export function createLink(namespace: NetworkNamespace, command: string, message: Partial<LinkMessage>): void {
  changeLinks(namespace, command, { type: RTM.NEWLINK, flags: flags.CREATE | flags.EXCL, body: linkMessage.encode(message) });
}

/** Deletes a link by name. Answers whether there was one. */
export function deleteLink(namespace: NetworkNamespace, name: string): boolean {
  try {
    changeLinks(namespace, `ip link del ${shellWord(name)}`, { type: RTM.DELLINK, body: linkMessage.encode({ name }) });
    return true;
  } catch (error) {
    if (isErrno(error, "ENODEV")) return false;
    throw error;
  }
}

function changeLinks(namespace: NetworkNamespace, command: string, request: NetlinkRequest): void {
  namespace.change(command, () => namespace.netlink.change(request));
}

/** A link message in field words; notifications are read with it too. */
export function toLink(message: LinkMessage): Link {
  const { linkInfo } = message;
  const data = linkInfo?.data;
  const slaveData = linkInfo?.slaveData;
  return {
    name: message.name ?? "",
    index: message.index,
    kind: linkInfo?.kind,
    mac: message.address ?? "",
    mtu: message.mtu ?? 0,
    up: (message.flags & IFF.UP) !== 0,
    promiscuous: (message.flags & IFF.PROMISC) !== 0,
    allMulticast: (message.flags & IFF.ALLMULTI) !== 0,
    txQueueLength: message.txQueueLength ?? 0,
    operState: message.operState ?? 0,
    master: message.master,
    peer: linkInfo?.kind === "veth" ? message.link : undefined,
    alias: message.alias,
    port: slaveData === undefined || slaveData instanceof Uint8Array ? undefined : slaveData,
    vlanFiltering:
      data !== undefined && !(data instanceof Uint8Array) && "vlanFiltering" in data ? data.vlanFiltering : undefined,
    parent:
      linkInfo?.kind === "veth" || message.link === undefined || message.link === 0
        ? undefined
        : { index: message.link, netnsId: message.linkNetnsId },
    group: message.group ?? 0,
    kindData: data instanceof Uint8Array ? undefined : data,
  };
}
