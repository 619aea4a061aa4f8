import { setLink } from "./links.ts";
import type { NetworkNamespace } from "./namespace.ts";

/**
 * Tells the neighbours of a link that its addresses are here now, so that nobody keeps the MAC of their former owner.
 *
 * The kernel does it itself: where `arp_notify` and `ndisc_notify` are set (configure.ts), writing a link's MAC, even the one
 * it has, sends gratuitous ARP for every IPv4 address (RFC 5227 section 3) and unsolicited neighbour advertisements for every
 * IPv6 address (RFC 4861 section 7.2.6). A packet socket of our own would cost 10 ms, which the kernel takes to close one.
 * It works only once the way is open: a bridge port that is not up yet drops what is sent through it.
 */
export function announce(
  namespace: NetworkNamespace,
  link: { readonly name: string; readonly index: number; readonly mac: string },
): void {
  setLink(namespace, link, { command: `address ${link.mac}`, message: { address: link.mac } });
}
