// Run as a process of its own, to be killed: makes one call of host-local's store, for "victim"/"eth0".
import { allocate } from "../../../src/ipam/allocator.ts";
import { LeaseStore } from "../../../src/ipam/lease-store.ts";
import { makeRangeSets } from "../../../src/ipam/range-set.ts";
import { release, releaseStale } from "../../../src/ipam/release.ts";
import { Steps } from "../../../src/support/steps.ts";

const [dir = "", command = ""] = process.argv.slice(2);
const options = { steps: new Steps(), warn: (message: string) => console.error(message), lockTimeoutMs: 60_000 };
const owner = { id: "victim", ifname: "eth0" };
const sets = makeRangeSets([[{ subnet: "10.7.0.0/24" }], [{ subnet: "fd07::/64" }]]);
using store = LeaseStore.create(dir, options);
if (command === "ADD") allocate(store, { sets, requests: [], owner, warn: options.warn });
else if (command === "DEL") release(store, owner);
else releaseStale(store, [{ id: "other", ifname: "eth0" }]);
