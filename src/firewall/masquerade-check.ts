import { Prefix } from "../ip/prefix.ts";
import { hostLinkName } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { setText } from "../netlink/netfilter/set.ts";
import type { Failures } from "../support/errors.ts";
import { Lists, toEither } from "./lists.ts";
import {
  covers,
  distinct,
  INSIDE,
  type Masquerading,
  masqueradeChain,
  outsideChain,
  owners,
  type Place,
  placesOf,
  sources,
} from "./masquerade.ts";
import { isCut, ownerOf } from "./owned.ts";
import { checkChain } from "./rules.ts";
import { targetOf } from "./shared-chain.ts";
import { podlinkTable } from "./table.ts";

/** Compares what addMasquerade makes with what is there; every difference is kept in `failures`, by name. */
export function checkMasquerade(host: NetworkNamespace, failures: Failures, wanted: Masquerading): void {
  checkChain(host, failures, masqueradeChain());
  const name = hostLinkName(wanted.attachment);
  const alone = new Set(
    wanted.addresses.filter((each) => each.equals(Prefix.host(each.address))).map(({ address }) => `${address}`),
  );
  const places = placesOf(wanted).map((place) => (alone.has(`${place.address}`) ? asMade(host, place) : place));
  for (const chain of distinct(places)) checkChain(host, failures, chain);
  const lists = new Lists(host, owners());
  for (const { address, chain } of places) {
    const set = sources[address.family];
    failures.attempt(`find ${address} in map "${setText(set)}"`, () => {
      const found = host.nftables.element(set, [address]);
      if (found === undefined) throw new Error("it is not there");
      if (ownerOf(found.comment) !== name) throw new Error(`it belongs to "${found.comment ?? ""}"`);
      const target = targetOf(found) ?? "";
      if (target !== chain.chain.name) throw new Error(`it leads to chain "${target}", expected "${chain.chain.name}"`);
    });
    failures.attempt(`find whose ${address} is`, () => {
      lists.expect([name], [toEither(address)]);
    });
  }
}

/**
 * A container that stands alone on its link (/32, /128) was masqueraded by what its network really is, of which its address tells
 * nothing: any chain is right that is what its name says, if only it has the other destinations.
 */
function asMade(host: NetworkNamespace, place: Place): Place {
  const { address, destinations } = place;
  const target = targetOf(host.nftables.element(sources[address.family], [address]) ?? {}) ?? "";
  const [comment = ""] = host.nftables.ruleComments(podlinkTable).get(target) ?? [];
  if (!comment.startsWith(INSIDE)) return place;
  const found = comment
    .slice(INSIDE.length)
    .split(", ")
    .flatMap((text) => Prefix.tryParse(text.trim()) ?? []);
  const chain = outsideChain(found);
  // What a comment had no room for cannot be read from it
  if (isCut(comment)) {
    const rules = [[comment] as const, ...chain.rules.slice(-1)];
    return { ...place, chain: { ...chain, chain: { ...chain.chain, name: target }, rules } };
  }
  if (chain.chain.name !== target || !destinations.every((one) => found.some((other) => covers(other, one)))) return place;
  return { ...place, chain };
}
