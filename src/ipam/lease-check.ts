import { join } from "node:path";
import type { Address } from "../ip/address.ts";
import { isErrno } from "../sys/errno.ts";
import { findByOwner, readInventory } from "./inventory.ts";
import { type Content, type Owner, ownerName, readLease } from "./lease-file.ts";

/**
 * Checks that an owner holds these addresses, or when there are none to look for, that it holds any. Reads only the files of these
 * addresses unless something is wrong; takes no lock.
 * @throws Error that names what was expected and what is there
 */
export function checkLeases(dir: string, owner: Owner, addresses: readonly Address[]): void {
  for (const address of addresses) {
    const path = join(dir, address.toString());
    const lease = readLease(path);
    if (lease?.kind === "lease" && lease.id === owner.id && (lease.ifname ?? owner.ifname) === owner.ifname) continue;
    throw new Error(`expected "${path}" to name it, but the file ${describe(lease)}; it holds ${held(dir, owner)}`);
  }
  if (addresses.length === 0 && held(dir, owner) === "nothing") {
    throw new Error(`expected at least one in "${dir}", found none`);
  }
}

/** Whether an owner has no lease to release, by reading alone. */
export function holdsNothing(dir: string, owner: Owner): boolean {
  return held(dir, owner) === "nothing";
}

function describe(content: Content | undefined): string {
  if (content === undefined) return "is not there";
  return content.kind === "lease" ? `names ${ownerName(content)}` : `is ${content.kind}`;
}

function held(dir: string, owner: Owner): string {
  try {
    const { own, idOnly } = findByOwner(readInventory(dir), owner);
    return [...own, ...idOnly].join(", ") || "nothing";
  } catch (error) {
    if (error instanceof Error && isErrno(error.cause, "ENOENT")) return "nothing";
    throw error;
  }
}
