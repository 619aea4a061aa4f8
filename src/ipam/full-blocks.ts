import { Address } from "../ip/address.ts";
import type { LeaseIndex } from "./lease-index.ts";
import { BLOCK, type FullBlocks } from "./range-set.ts";

// A search through a range that is nearly full would ask for tens of thousands of addresses. So the index remembers the blocks of 256 that
// were found full; the release of an address takes its block's mark away. A mark is a hint: when nothing is free, the search begins anew
// without any (LeaseStore.heal).

/** The name of the mark for the block that starts with this address. */
export function markOf(first: string): string {
  return `!${first}`;
}

/** The mark of the block an address lies in; undefined for a name that cannot be one. */
export function blockOf(name: string): string | undefined {
  // the way of nearly every call
  if (!name.includes(":")) return markOf(`${name.slice(0, name.lastIndexOf(".") + 1)}0`);
  const address = Address.tryParse(name);
  return address === undefined ? undefined : markOf(new Address(address.family, address.value & ~(BLOCK - 1n)).toString());
}

/** Reads marks as they are asked for, and keeps those to be set. */
export class KnownBlocks implements FullBlocks {
  readonly #index: LeaseIndex;
  readonly found: string[] = [];

  constructor(index: LeaseIndex) {
    this.#index = index;
  }

  has(first: string): boolean {
    return this.#index.isFull(markOf(first));
  }

  add(first: string): void {
    this.found.push(markOf(first));
  }
}
