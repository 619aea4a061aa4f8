import { Address, type Family } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import { flags } from "../netlink/connection.ts";
import { type AddressMessage, addressMessage, IFA_F } from "../netlink/route/address.ts";
import { addressFamily, RTM } from "../netlink/route/message-types.ts";
import { shellWord } from "../support/shell-word.ts";
import { isErrno } from "../sys/errno.ts";
import type { NetworkNamespace } from "./namespace.ts";

interface LinkRef {
  readonly name: string;
  readonly index: number;
}

/** An address on a link. */
export interface LinkAddress {
  readonly prefix: Prefix;
  /** RT_SCOPE_*. */
  readonly scope: number;
  /** IPv6: duplicate address detection has not finished. */
  readonly tentative: boolean;
  /** IPv6: somebody else has it. */
  readonly duplicate: boolean;
}

/**
 * Puts an address on a link.
 * @param options.detectDuplicates IPv6: let the kernel ask the neighbours first (RFC 4862 section 5.4); without, the address is usable at once
 * @param options.prefixRoute unless false, the kernel adds a route that says its whole network is on the link
 * @throws NetlinkError EEXIST when it is there already
 */
export function addAddress(
  namespace: NetworkNamespace,
  link: LinkRef,
  options: { prefix: Prefix; detectDuplicates?: boolean; prefixRoute?: boolean },
): void {
  const { prefix } = options;
  const nodad = prefix.family === 6 && options.detectDuplicates !== true;
  const noprefixroute = options.prefixRoute === false;
  const flagBits = (nodad ? IFA_F.NODAD : 0) | (noprefixroute ? IFA_F.NOPREFIXROUTE : 0);
  // As iproute2 and the kernel want it: no broadcast address where there is no room for one (RFC 3021)
  const broadcast = prefix.family === 4 && prefix.length < 31 ? prefix.last() : undefined;
  const body = addressMessage.encode({
    family: addressFamily(prefix.family),
    prefixLength: prefix.length,
    index: link.index,
    address: prefix.address,
    local: prefix.address,
    broadcast,
    flags: flagBits === 0 ? undefined : flagBits,
  });
  const words = [
    `ip address add ${prefix}${broadcast === undefined ? "" : ` broadcast ${broadcast}`} dev ${shellWord(link.name)}`,
    ...(nodad ? ["nodad"] : []),
    ...(noprefixroute ? ["noprefixroute"] : []),
  ];
  namespace.change(words.join(" "), () =>
    namespace.netlink.change({ type: RTM.NEWADDR, flags: flags.CREATE | flags.EXCL, body }),
  );
}

/** Takes an address off a link; one that is not there is fine. */
export function deleteAddress(namespace: NetworkNamespace, link: LinkRef, prefix: Prefix): void {
  const body = addressMessage.encode({
    family: addressFamily(prefix.family),
    prefixLength: prefix.length,
    index: link.index,
    address: prefix.address, // without it the kernel takes whatever length the local address has
    local: prefix.address,
  });
  namespace.change(`ip address del ${prefix} dev ${shellWord(link.name)}`, () => {
    try {
      namespace.netlink.change({ type: RTM.DELADDR, body });
    } catch (error) {
      if (!isErrno(error, "EADDRNOTAVAIL")) throw error;
    }
  });
}

/** The addresses of a link, of one family or both. */
export function listAddresses(namespace: NetworkNamespace, link: LinkRef, family?: Family): LinkAddress[] {
  const body = addressMessage.encode({ family: family === undefined ? 0 : addressFamily(family), index: link.index });
  return namespace.netlink
    .dump({ type: RTM.GETADDR, body })
    .map((reply) => addressMessage.decode(reply))
    .filter((message) => message.index === link.index)
    .flatMap((message) => toLinkAddress(message));
}

/** An address, and the link that it is on. */
export interface PlacedAddress extends LinkAddress {
  /** Index of the link. */
  readonly link: number;
  /** The kernel makes a route that says its whole network is on the link. */
  readonly prefixRoute: boolean;
}

/** The addresses of every link. */
export function listAllAddresses(namespace: NetworkNamespace): PlacedAddress[] {
  return namespace.netlink
    .dump({ type: RTM.GETADDR, body: addressMessage.encode({ family: 0 }) })
    .map((reply) => addressMessage.decode(reply))
    .flatMap((message) => {
      const prefixRoute = ((message.flags ?? message.flags8) & IFA_F.NOPREFIXROUTE) === 0;
      return toLinkAddress(message).map((address) => ({ ...address, link: message.index, prefixRoute }));
    });
}

function toLinkAddress(message: AddressMessage): LinkAddress[] {
  const address = message.local ?? message.address;
  if (address === undefined) return [];
  const bits = message.flags ?? message.flags8;
  return [
    {
      prefix: new Prefix(address, message.prefixLength),
      scope: message.scope,
      tentative: (bits & IFA_F.TENTATIVE) !== 0,
      duplicate: (bits & IFA_F.DADFAILED) !== 0,
    },
  ];
}

/** 0.0.0.0/0 or ::/0. */
export function anywhere(family: Family): Prefix {
  return new Prefix(new Address(family, 0n), 0);
}
