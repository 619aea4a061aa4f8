import { nameHash } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import type { Verdict } from "../netlink/netfilter/data.ts";
import type { NftSet } from "../netlink/netfilter/set.ts";
import { keyText, type SetElement } from "./owned.ts";
import type { FixedChain } from "./rules.ts";
import { podlinkTable as table } from "./table.ts";

// What is to be done with a container's packets where that is not the same for all, and yet for many: a chain that the elements of a map
// jump to, for the attachments of any network that want the same. Its name follows from what is in it, so its rules never change.

/** The two kinds, which are the starts of their names. */
export type SharedKind = "outside" | "from";

/** @param options.what says all that makes its rules differ from others' */
export function sharedChain(kind: SharedKind, { what, rules }: { what: string; rules: FixedChain["rules"] }): FixedChain {
  return { chain: { table, name: `${kind}_${nameHash(what)}` }, sets: [], rules };
}

export function jumpTo({ chain }: FixedChain): Verdict {
  return { code: "jump", chain: chain.name };
}

/** The chain that an element jumps to. */
export function targetOf({ data }: { readonly data?: readonly unknown[] | Verdict | undefined }): string | undefined {
  return data !== undefined && "code" in data ? data.chain : undefined;
}

/** Deletes the chains of a kind that no element of these maps jumps to. @param options.gone elements that the batch deletes */
export function collectSharedChains(
  host: NetworkNamespace,
  batch: Batch,
  options: { kind: SharedKind; maps: readonly NftSet[]; gone: readonly SetElement[] },
): void {
  const { kind, maps, gone } = options;
  const chains = host.nftables.chains(table).filter(({ name }) => name.startsWith(`${kind}_`));
  if (chains.length === 0) return;
  const going = new Set(gone.map(({ set, element }) => `${set.name} ${keyText(element.key)}`));
  const used = new Set(
    maps.flatMap((map) =>
      (host.nftables.elements(map) ?? []).flatMap((element) =>
        going.has(`${map.name} ${keyText(element.key)}`) ? [] : (targetOf(element) ?? []),
      ),
    ),
  );
  for (const chain of chains.filter(({ name }) => !used.has(name))) {
    batch.flushChain(chain);
    batch.deleteChain(chain);
  }
}
