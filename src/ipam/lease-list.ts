import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { Address } from "../ip/address.ts";
import { isErrno } from "../sys/errno.ts";
import { readInventory } from "./inventory.ts";

/** One lease as a person wants to see it. */
export interface ListedLease {
  readonly network: string;
  readonly address: string;
  readonly containerId: string;
  /** Empty where an early writer left the container's id alone. */
  readonly ifname: string;
  /** When it was leased: milliseconds since 1970. */
  readonly mtimeMs: number;
}

/**
 * The leases of all networks below a data directory, by network and address; everything that is no lease is left out.
 * Takes no lock and changes nothing. Without the directory there are none.
 */
export function listLeases(dataDir: string): ListedLease[] {
  return namesIn(dataDir).flatMap((network) => listNetwork(dataDir, network));
}

function listNetwork(dataDir: string, network: string): ListedLease[] {
  const dir = join(dataDir, network);
  if (!statSync(dir, { throwIfNoEntry: false })?.isDirectory()) return [];
  const found: { address: Address; lease: ListedLease }[] = [];
  for (const [name, { id, ifname = "" }] of readInventory(dir).leases) {
    const address = Address.tryParse(name);
    const stat = statSync(join(dir, name), { throwIfNoEntry: false }); // it may have been released since
    if (address === undefined || stat === undefined) continue;
    found.push({ address, lease: { network, address: name, containerId: id, ifname, mtimeMs: stat.mtimeMs } });
  }
  return found.sort((a, b) => a.address.compare(b.address)).map(({ lease }) => lease);
}

function namesIn(dataDir: string): string[] {
  try {
    return readdirSync(dataDir)
      .filter((name) => !name.startsWith(".")) // no network's name does, but the index's (lease-index.ts)
      .sort();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}
