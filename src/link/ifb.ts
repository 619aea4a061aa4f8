import { NetlinkError } from "../netlink/acks.ts";
import { flags, type NetlinkConnection, type NetlinkRequest } from "../netlink/connection.ts";
import { IFF, linkMessage } from "../netlink/route/link.ts";
import { RTM } from "../netlink/route/message-types.ts";
import { qdiscMessage, TC_H } from "../netlink/route/qdisc.ts";
import { shellWord } from "../support/shell-word.ts";
import { isErrno } from "../sys/errno.ts";
import { createLink, findLink, getLink, type Link, setLink } from "./links.ts";
import type { NetworkNamespace } from "./namespace.ts";

// Links of kind ifb ("intermediate functional block"): what is redirected to one goes through its queue and then on its way.

/** An ifb as it shall be. */
export interface IfbWish {
  readonly name: string;
  readonly mtu: number;
  readonly alias: string;
  /** A second name to be found by, where the kernel has such (Linux 5.5) and no other link bears it. */
  readonly alternativeName: string;
}

/** Makes an ifb that is up, or brings the one that is there into that state. @throws Error when another kind of link has the name */
export function ensureIfb(namespace: NetworkNamespace, wish: IfbWish): Link {
  const { name, mtu, alias, alternativeName } = wish;
  const present = findLink(namespace, name);
  if (present !== undefined && present.kind !== "ifb") {
    throw new Error(`Cannot use "${name}": a link of that name exists and is not an ifb`);
  }
  const up = { flags: IFF.UP, change: IFF.UP, mtu };
  if (present === undefined) {
    createLink(namespace, `ip link add ${name} up mtu ${mtu} txqueuelen 0 type ifb`, {
      ...up,
      name,
      txQueueLength: 0, // for packets in a queue of its own, which it shall not have
      linkInfo: { kind: "ifb" },
    });
  }
  const ifb = present ?? getLink(namespace, name);
  // The kernel takes no alias while it makes a link
  setLink(namespace, ifb, { command: `up mtu ${mtu} alias ${shellWord(alias)}`, message: { ...up, alias } });
  addAlternativeName(namespace, ifb, alternativeName);
  return ifb;
}

function addAlternativeName(namespace: NetworkNamespace, link: Link, name: string): void {
  const body = linkMessage.encode({ index: link.index, alternativeNames: [name] });
  namespace.change(`ip link property add dev ${link.name} altname ${name}`, () => {
    try {
      namespace.netlink.change({ type: RTM.NEWLINKPROP, flags: flags.CREATE | flags.EXCL | flags.APPEND, body });
    } catch (error) {
      if (!isErrno(error, "EEXIST", "EOPNOTSUPP", "EINVAL")) throw error;
    }
  });
}

/** Of `lo`, in every namespace. */
const LOOPBACK_INDEX = 1;

/**
 * Asks the kernel whether it has what shaping needs, by two requests that it refuses in any case: with a word about the request
 * where it knows the kind, with another where it does not. It loads its modules on the way.
 * @returns what is missing, with the name of the module; filters and actions are not asked for
 */
export function findMissingShapers({ netlink }: Pick<NetworkNamespace, "netlink">): string[] {
  const create = flags.CREATE | flags.EXCL;
  const groupAddress = linkMessage.encode({ name: "plprobe", address: "01:00:00:00:00:00", linkInfo: { kind: "ifb" } });
  const noRate = qdiscMessage.encode({ index: LOOPBACK_INDEX, parent: TC_H.ROOT, kind: "tbf" });
  const missing: string[] = [];
  if (refusalOf(netlink, { type: RTM.NEWLINK, flags: create, body: groupAddress }) === "EOPNOTSUPP")
    missing.push("links of kind ifb (module ifb)");
  if (refusalOf(netlink, { type: RTM.NEWQDISC, flags: create, body: noRate }) === "ENOENT")
    missing.push("qdiscs of kind tbf (module sch_tbf)");
  return missing;
}

function refusalOf(netlink: NetlinkConnection, request: NetlinkRequest): string | undefined {
  try {
    netlink.change(request);
    return undefined;
  } catch (error) {
    return error instanceof NetlinkError ? error.code : undefined;
  }
}
