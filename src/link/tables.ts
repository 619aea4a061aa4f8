import { RT_TABLE } from "../netlink/route/route.ts";
import type { KernelRoute } from "./kernel-routes.ts";
import type { Rule } from "./rules.ts";

/** linux/rtnetlink.h, RT_TABLE_DEFAULT, MAIN and LOCAL: the kernel's own, whether or not anything is in them. */
const RESERVED: readonly number[] = [253, RT_TABLE.MAIN, RT_TABLE.LOCAL];

export function isReservedTable(table: number): boolean {
  return RESERVED.includes(table);
}

/** Routing tables, and who uses which. A table is nothing but a number that routes and rules have in common. */
export class Tables {
  readonly #used: Set<number>;

  /** @param others tables in use that neither a rule nor a route tells of */
  constructor(rules: readonly Rule[], routes: readonly KernelRoute[], others: readonly number[] = []) {
    this.#used = new Set([...RESERVED, ...others, ...[...rules, ...routes].map(({ table }) => table)]);
  }

  /** Takes the first free table from this number on. */
  take(from: number): number {
    let table = from;
    while (this.#used.has(table)) table++;
    this.#used.add(table);
    return table;
  }
}
