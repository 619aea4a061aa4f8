// Run as a process of its own: allocates for as many owners as it is told, releases some, and prints the addresses it keeps.
import type { Address } from "../../../src/ip/address.ts";
import { allocate } from "../../../src/ipam/allocator.ts";
import { LeaseStore } from "../../../src/ipam/lease-store.ts";
import { makeRangeSets } from "../../../src/ipam/range-set.ts";
import { release } from "../../../src/ipam/release.ts";
import { Steps } from "../../../src/support/steps.ts";

const [dir = "", name = "", count = "0"] = process.argv.slice(2);
const sets = makeRangeSets([[{ subnet: "10.7.0.0/24" }], [{ subnet: "fd07::/64" }]]);
const options = { steps: new Steps(), warn: (message: string) => console.error(message), lockTimeoutMs: 60_000 };
const kept: Address[] = [];
for (let i = 0; i < Number(count); i++) {
  const owner = { id: `${name}-${i}`, ifname: "eth0" };
  {
    using store = LeaseStore.create(dir, options);
    const grants = allocate(store, { sets, requests: [], owner, warn: options.warn });
    if (i % 3 !== 0) kept.push(...grants.map(({ address }) => address.address));
  }
  if (i % 3 === 0) {
    using store = LeaseStore.open(dir, options);
    if (store !== undefined) release(store, owner);
  }
}
console.log(JSON.stringify(kept.map(String)));
