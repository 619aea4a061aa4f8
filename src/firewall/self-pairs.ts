import type { Address } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import type { NameParts } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import type { Failures } from "../support/errors.ts";
import { hostPortChains } from "./host-port-chains.ts";
import { returnPairs } from "./host-port-sets.ts";
import { ownerComment } from "./owned.ts";
import { checkChain, ensureChain, type FixedChain } from "./rules.ts";

// A container that reaches itself through an address of somebody else's making (a Service) gets packets from its own address, which no
// kernel takes. So the node puts its own in, for those that something has translated; the same chain does it for host ports.

/** An attachment and its addresses. */
export interface SelfPairs {
  readonly attachment: NameParts;
  readonly addresses: readonly Address[];
}

/** Lets a container reach itself through a Service. Where host ports have seen to it already there is nothing to do. */
export function addSelfPairs(host: NetworkNamespace, batch: Batch, { attachment, addresses }: SelfPairs): void {
  for (const chain of chains()) ensureChain(host, batch, chain);
  for (const address of addresses) {
    const set = returnPairs[address.family];
    if (host.nftables.element(set, [address, address]) !== undefined) continue;
    batch.addElements(set, [{ key: [alone(address), address], comment: ownerComment(attachment) }]);
  }
}

/** Names what is missing. */
export function checkSelfPairs(host: NetworkNamespace, failures: Failures, { addresses }: SelfPairs): void {
  for (const chain of chains()) checkChain(host, failures, chain);
  for (const address of addresses) {
    const set = returnPairs[address.family];
    failures.attempt(`find ${address} in set "${set.name}"`, () => {
      if (host.nftables.element(set, [address, address]) === undefined) throw new Error("it is not there");
    });
  }
}

function alone(address: Address): Prefix {
  return Prefix.host(address);
}

function chains(): FixedChain[] {
  return hostPortChains().filter(({ sets }) => sets.some(({ name }) => name === returnPairs[4].name));
}
