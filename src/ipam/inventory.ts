import { readdirSync } from "node:fs";
import { during } from "../support/errors.ts";
import { type Content, isLeaseName, type Owner, readLease } from "./lease-file.ts";

/** A lease file's content that names an owner. */
export type Lease = Content & { readonly kind: "lease" };

/** What a store holds at one moment. */
export interface Inventory {
  /** Names of the files that block an address, in the store's spelling. */
  readonly used: Set<string>;
  readonly leases: Map<string, Lease>;
  /** Files that a crash left without content. */
  readonly damaged: readonly string[];
}

/** Reads every lease file of a directory; without the lock this is what was there some time during the reading. */
export function readInventory(dir: string): Inventory {
  return during(`read leases in "${dir}"`, () => {
    const used = new Set<string>();
    const leases = new Map<string, Lease>();
    const damaged: string[] = [];
    for (const name of readdirSync(dir)) {
      const content = isLeaseName(name) ? readLease(`${dir}/${name}`) : undefined;
      if (content === undefined) continue;
      if (content.kind === "damaged") damaged.push(name);
      else used.add(name);
      if (content.kind === "lease") leases.set(name, content);
    }
    return { used, leases, damaged };
  });
}

/** Names of the leases an owner holds; those of early writers, which know the id alone, stand apart. */
export interface Holdings {
  readonly own: readonly string[];
  readonly idOnly: readonly string[];
}

/** An owner's leases in an inventory. */
export function findByOwner(inventory: Inventory, owner: Owner): Holdings {
  const mine = [...inventory.leases].filter(([, lease]) => lease.id === owner.id);
  return {
    own: mine.filter(([, lease]) => lease.ifname === owner.ifname).map(([name]) => name),
    idOnly: mine.filter(([, lease]) => lease.ifname === undefined).map(([name]) => name),
  };
}
