import type { Address, Family } from "../../ip/address.ts";
import { isErrno } from "../../sys/errno.ts";
import { attributes } from "../attributes.ts";
import { be16, be32, ip, u8, u32, type ValueOf } from "../codec.ts";
import type { NetlinkConnection } from "../connection.ts";
import { IPCTNL, NFPROTO, netfilterMessage } from "./message-types.ts";

/** enum ctattr_tuple: one direction of a connection. */
const tuple = attributes({
  ip: [
    1,
    "CTA_TUPLE_IP",
    attributes({
      source4: [1, "CTA_IP_V4_SRC", ip],
      destination4: [2, "CTA_IP_V4_DST", ip],
      source6: [3, "CTA_IP_V6_SRC", ip],
      destination6: [4, "CTA_IP_V6_DST", ip],
    }),
  ],
  protocol: [
    2,
    "CTA_TUPLE_PROTO",
    attributes({
      number: [1, "CTA_PROTO_NUM", u8],
      sourcePort: [2, "CTA_PROTO_SRC_PORT", be16],
      destinationPort: [3, "CTA_PROTO_DST_PORT", be16],
      icmpId: [4, "CTA_PROTO_ICMP_ID", be16],
      icmpType: [5, "CTA_PROTO_ICMP_TYPE", u8],
      icmpCode: [6, "CTA_PROTO_ICMP_CODE", u8],
      icmp6Id: [7, "CTA_PROTO_ICMPV6_ID", be16],
      icmp6Type: [8, "CTA_PROTO_ICMPV6_TYPE", u8],
      icmp6Code: [9, "CTA_PROTO_ICMPV6_CODE", u8],
    }),
  ],
  zone: [3, "CTA_TUPLE_ZONE", be16],
});

/** enum ctattr_type, as much as finding and deleting takes. */
export const conntrackMessage = netfilterMessage({
  original: [1, "CTA_TUPLE_ORIG", tuple],
  reply: [2, "CTA_TUPLE_REPLY", tuple],
  status: [3, "CTA_STATUS", be32],
  mark: [8, "CTA_MARK", be32],
  id: [12, "CTA_ID", be32],
  zone: [18, "CTA_ZONE", be16],
  /** Linux 5.8; older kernels do not look at it. */
  filter: [
    25,
    "CTA_FILTER",
    attributes({ original: [1, "CTA_FILTER_ORIG_FLAGS", u32], reply: [2, "CTA_FILTER_REPLY_FLAGS", u32] }),
  ],
});

/** net/netfilter/nf_internals.h, CTA_FILTER_F_*: which fields of a tuple a dump compares. */
const COMPARE = { source: 1, destination: 2, protocol: 8, sourcePort: 16, destinationPort: 32 } as const;

/** One direction of a connection, or as much of it as is asked for. */
export interface Flow {
  readonly source?: Address | undefined;
  readonly destination?: Address | undefined;
  readonly sourcePort?: number | undefined;
  readonly destinationPort?: number | undefined;
}

/** Which connections are meant: those that agree in all that is given. */
export interface ConnectionFilter {
  /** What else is given can be compared only within one family. */
  readonly family?: Family | undefined;
  /** IANA number. */
  readonly protocol?: number | undefined;
  /** As the first packet came. */
  readonly original?: Flow | undefined;
  /** As answers come: from where the first packet really went. */
  readonly reply?: Flow | undefined;
}

export type ConnectionEntry = ReturnType<typeof conntrackMessage.decode>;

/** The connections that agree with a filter: the kernel leaves out the others where it can. */
export function listConnections(netfilter: NetlinkConnection, filter: ConnectionFilter): ConnectionEntry[] {
  return dump(netfilter, filter)
    .map((body) => conntrackMessage.decode(body))
    .filter((entry) => agrees(entry, filter));
}

/** Deletes one connection; false when it is gone already. */
export function deleteConnection(netfilter: NetlinkConnection, entry: ConnectionEntry): boolean {
  const { family, original, id, zone } = entry;
  try {
    netfilter.change({ type: IPCTNL.DELETE, body: conntrackMessage.encode({ family, original, id, zone }) });
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

/** linux/socket.h, AF_UNSPEC. */
const EVERY_FAMILY = 0;

function dump(netfilter: NetlinkConnection, filter: ConnectionFilter): Uint8Array[] {
  const family = filter.family === undefined ? EVERY_FAMILY : filter.family === 4 ? NFPROTO.ip : NFPROTO.ip6;
  const flags = { original: compared(filter, filter.original), reply: compared(filter, filter.reply) };
  if (flags.original !== 0 || flags.reply !== 0) {
    const original = flags.original === 0 ? undefined : toTuple(filter, filter.original);
    const reply = flags.reply === 0 ? undefined : toTuple(filter, filter.reply);
    try {
      return netfilter.dump({ type: IPCTNL.GET, body: conntrackMessage.encode({ family, original, reply, filter: flags }) });
    } catch (error) {
      if (!isErrno(error, "EINVAL", "EOPNOTSUPP")) throw error; // a kernel that cannot filter by this: read all of them
    }
  }
  try {
    return netfilter.dump({ type: IPCTNL.GET, body: conntrackMessage.encode({ family }) });
  } catch (error) {
    if (!isErrno(error, "EINVAL", "EOPNOTSUPP")) throw error;
    throw new Error("Cannot list connections: the kernel may lack CONFIG_NF_CT_NETLINK", { cause: error });
  }
}

/**
 * What the kernel is asked to compare. It compares ports only together with the protocol; of IPv6 addresses it leaves out just those
 * that agree (net/netfilter/nf_conntrack_netlink.c, seen in Linux 6.18), so those are left to us.
 */
function compared(filter: ConnectionFilter, flow: Flow | undefined): number {
  if (flow === undefined) return 0;
  let bits = filter.protocol === undefined ? 0 : COMPARE.protocol;
  if (filter.family === 4) {
    for (const key of ["source", "destination"] as const) if (flow[key] !== undefined) bits |= COMPARE[key];
  }
  if (filter.protocol === undefined) return bits;
  for (const key of ["sourcePort", "destinationPort"] as const) if (flow[key] !== undefined) bits |= COMPARE[key];
  return bits;
}

function toTuple(filter: ConnectionFilter, flow: Flow = {}): ValueOf<typeof tuple> {
  const { source, destination, sourcePort, destinationPort } = flow;
  return {
    ip: filter.family === 4 ? { source4: source, destination4: destination } : { source6: source, destination6: destination },
    protocol: filter.protocol === undefined ? undefined : { number: filter.protocol, sourcePort, destinationPort },
  };
}

function agrees(entry: ConnectionEntry, filter: ConnectionFilter): boolean {
  const { protocol, original, reply } = filter;
  return (
    (protocol === undefined || entry.original?.protocol?.number === protocol) &&
    flowAgrees(entry.original, original) &&
    flowAgrees(entry.reply, reply)
  );
}

function flowAgrees(found: ValueOf<typeof tuple> | undefined, wanted: Flow | undefined): boolean {
  if (wanted === undefined) return true;
  const same = (address: Address | undefined, other: Address | undefined) =>
    address === undefined || (other !== undefined && address.equals(other));
  const { ip: addresses, protocol: ports } = found ?? {};
  return (
    same(wanted.source, addresses?.source4 ?? addresses?.source6) &&
    same(wanted.destination, addresses?.destination4 ?? addresses?.destination6) &&
    (wanted.sourcePort === undefined || wanted.sourcePort === ports?.sourcePort) &&
    (wanted.destinationPort === undefined || wanted.destinationPort === ports?.destinationPort)
  );
}
