import { readdirSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { allocate } from "../../../src/ipam/allocator.ts";
import { makeRangeSets } from "../../../src/ipam/range-set.ts";
import { release } from "../../../src/ipam/release.ts";
import { countCalls } from "./count-calls.ts";
import { TempStore } from "./temp-store.ts";

const indexOf = (temp: TempStore) => join(temp.dataDir, ".podlink", "net1");

describe("the search in a range that is nearly full", () => {
  it("passes by what was found full, until something in it is released", () => {
    using temp = new TempStore();
    const small = makeRangeSets([[{ subnet: "10.8.0.0/21" }]]);
    const take = (id: string): string => {
      using store = temp.open();
      return String(allocate(store, { sets: small, requests: [], owner: { id, ifname: "eth0" }, warn: () => {} })[0]?.address);
    };
    const addresses = Array.from({ length: 2045 }, (_, i) => `10.8.${(i + 2) >> 8}.${(i + 2) & 255}`);
    for (const [i, address] of addresses.entries()) writeFileSync(join(temp.dir, address), `c${i}\r\neth0`);
    unlinkSync(join(temp.dir, "10.8.7.250"));
    expect(take("a")).toBe("10.8.7.250/21");
    expect(readdirSync(indexOf(temp)).filter((name) => name.startsWith("!"))).toHaveLength(6); // the first block begins with the network's own
    for (const id of ["c300", "c900"]) {
      using store = temp.open();
      release(store, { id, ifname: "eth0" });
    }
    const calls = countCalls(() => expect(take("b")).toBe("10.8.1.46/21"));
    expect(calls.lstatSync).toBeLessThan(600);
    expect(calls).not.toHaveProperty("readdirSync");
    expect(take("c")).toBe("10.8.3.134/21");
    expect(() => take("d")).toThrow("no IP addresses available");
  });

  it("finds at last what a mark hides", () => {
    using temp = new TempStore();
    const small = makeRangeSets([[{ subnet: "10.8.0.0/22" }]]);
    const take = (id: string): string => {
      using store = temp.open();
      return String(allocate(store, { sets: small, requests: [], owner: { id, ifname: "eth0" }, warn: () => {} })[0]?.address);
    };
    for (let i = 2; i < 1022; i++) writeFileSync(join(temp.dir, `10.8.${i >> 8}.${i & 255}`), "a note that is no lease");
    expect(take("a")).toBe("10.8.3.254/22");
    unlinkSync(join(temp.dir, "10.8.1.9")); // never known to the index, so its block stays marked
    expect(take("b")).toBe("10.8.1.9/22");
  });
});
