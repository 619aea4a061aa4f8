import type { Address, Family } from "../ip/address.ts";
import { addressFamily, RTM } from "../netlink/route/message-types.ts";
import { neighbourMessage } from "../netlink/route/neighbour.ts";
import { shellWord } from "../support/shell-word.ts";
import { isErrno } from "../sys/errno.ts";
import type { NetworkNamespace } from "./namespace.ts";

/** Who has an address, as far as the host knows (ARP, neighbour discovery). */
export interface Neighbour {
  readonly address: Address;
  readonly mac: string | undefined;
  /** NUD_*. */
  readonly state: number;
}

/** What a link's neighbour table holds of one family. */
export function listNeighbours(namespace: NetworkNamespace, link: { readonly index: number }, family: Family): Neighbour[] {
  const body = neighbourMessage.encode({ family: addressFamily(family), ifindex: link.index });
  return namespace.netlink
    .dump({ type: RTM.GETNEIGH, body })
    .map((reply) => neighbourMessage.decode(reply))
    .filter((message) => message.index === link.index)
    .flatMap(({ destination, linkAddress, state }) =>
      destination === undefined ? [] : [{ address: destination, mac: linkAddress, state }],
    );
}

/** Forgets who has an address, so that the next packet to it asks again; nothing known is fine. */
export function forgetNeighbour(
  namespace: NetworkNamespace,
  link: { readonly name: string; readonly index: number },
  address: Address,
): void {
  const body = neighbourMessage.encode({ family: addressFamily(address.family), index: link.index, destination: address });
  // `del` would fail where nothing is known
  namespace.change(`ip neighbour flush ${address} dev ${shellWord(link.name)} nud all`, () => {
    try {
      namespace.netlink.change({ type: RTM.DELNEIGH, body });
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
  });
}
