import { readlinkSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Address } from "../../../src/ip/address.ts";
import { allocate } from "../../../src/ipam/allocator.ts";
import { findFull } from "../../../src/ipam/availability.ts";
import { markName } from "../../../src/ipam/lease-record.ts";
import { makeRangeSets } from "../../../src/ipam/range-set.ts";
import { StaleProof } from "../../../src/ipam/stale.ts";
import { bootClock, shortBootId } from "../../../src/sys/boot-clock.ts";
import { netnsIdentity } from "../../../src/sys/netns.ts";
import { TempStore } from "./temp-store.ts";

const sets = makeRangeSets([[{ subnet: "10.1.2.0/29" }]]); // 10.1.2.2 to 10.1.2.6
const five = ["a", "b", "c", "d", "e"];

function add(temp: TempStore, id: string, wanted?: string): string {
  using store = temp.open();
  const requests = [wanted === undefined ? undefined : Address.parse(wanted)];
  const grants = allocate(store, { sets, requests, owner: { id, ifname: "eth0" }, warn: () => {} });
  return String(grants[0]?.address.address);
}

/** Makes a lease one of an earlier boot, as far as its record says. */
function age(temp: TempStore, id: string): void {
  const path = join(temp.dataDir, ".podlink/net1", `${id},eth0`);
  const text = readlinkSync(path);
  unlinkSync(path);
  symlinkSync(text.replace(/ [0-9a-f]{8}/, " 0badb007"), path);
}

describe("stale leases", () => {
  it("of an earlier boot are taken back when nothing else is free, and not before", () => {
    using temp = new TempStore();
    for (const id of five) add(temp, id);
    for (const id of ["b", "d"]) age(temp, id);
    expect(findFull(temp.dir, sets)).toEqual([]); // an ADD would succeed
    expect(add(temp, "new")).toBe("10.1.2.3");
    expect(temp.warnings).toEqual([
      `Taking back 10.1.2.3 from "b"/"eth0" in "${temp.dir}": it is of an earlier boot`,
      `Taking back 10.1.2.5 from "d"/"eth0" in "${temp.dir}": it is of an earlier boot`,
    ]);
    expect(add(temp, "other")).toBe("10.1.2.5");
    expect(() => add(temp, "late")).toThrow("no IP addresses available");
    expect(findFull(temp.dir, sets)).toEqual(sets);
  });

  it("give way to whoever asks for their address, and to their owner", () => {
    using temp = new TempStore();
    for (const id of ["a", "b"]) add(temp, id);
    for (const id of ["a", "b"]) age(temp, id);
    expect(add(temp, "new", "10.1.2.2")).toBe("10.1.2.2");
    expect(add(temp, "b")).toBe("10.1.2.3");
    expect(() => add(temp, "b")).toThrow("duplicate allocation");
  });

  it("without a record are those whose file is older than this boot", () => {
    using temp = new TempStore(Object.fromEntries(five.map((id, i) => [`10.1.2.${i + 2}`, `${id}\r\neth0`])));
    utimesSync(join(temp.dir, "10.1.2.4"), 1000, 1000);
    expect(add(temp, "new")).toBe("10.1.2.4");
    expect(temp.warnings).toEqual([expect.stringContaining("its file is older than this boot")]);
    expect(() => add(temp, "late")).toThrow("no IP addresses available");
  });

  it("are not those of this boot without a record, nor what a person wrote", () => {
    using temp = new TempStore(Object.fromEntries(five.map((id, i) => [`10.1.2.${i + 2}`, `${id}\r\neth0`])));
    writeFileSync(join(temp.dir, "10.1.2.4"), "for the printer");
    utimesSync(join(temp.dir, "10.1.2.4"), 1000, 1000);
    const justAfterBoot = (Date.now() - bootClock()) / 1000 + 5;
    utimesSync(join(temp.dir, "10.1.2.5"), justAfterBoot, justAfterBoot);
    expect(() => add(temp, "new")).toThrow("no IP addresses available");
    expect(Object.keys(temp.files())).toHaveLength(5);
  });

  it("are not those that somebody else has leased anew since: a record is of one file", () => {
    using temp = new TempStore();
    for (const id of five) add(temp, id);
    age(temp, "c");
    unlinkSync(join(temp.dir, "10.1.2.4"));
    writeFileSync(join(temp.dir, "10.1.2.4"), "c\r\neth0");
    expect(() => add(temp, "new")).toThrow("no IP addresses available");
    expect(() => add(temp, "c")).toThrow("duplicate allocation");
  });

  it("are told by nothing that a clock says once there is a record", () => {
    using temp = new TempStore();
    for (const id of five) add(temp, id);
    for (const host of [2, 3]) utimesSync(join(temp.dir, `10.1.2.${host}`), 1000, 1000); // the clock was wrong when they were made
    for (const host of [4, 5]) utimesSync(join(temp.dir, `10.1.2.${host}`), 4_000_000_000, 4_000_000_000);
    using store = temp.open();
    const why = five.map((id, i) => store.whyStale(`10.1.2.${i + 2}`, { kind: "lease", id, ifname: "eth0" }));
    // of a path that led to no namespace only the boot is known, and then the file's age counts
    expect(why.slice(2)).toEqual([undefined, undefined, undefined]);
  });
});

describe("the proof", () => {
  const boot = shortBootId();
  const own = "/proc/self/ns/net";
  const identity = netnsIdentity(own) ?? "";
  const proof = new StaleProof({ boot, namespace: { identity: "4:1", name: "/proc/self/ns/net" } });
  const why = (namespace: { identity: string; name: string }, by = proof) =>
    by.why({ origin: { boot, namespace }, mtimeMs: Date.now() });

  it("knows a namespace that its path leads to, and one that a process is in", () => {
    expect(why({ identity, name: own })).toBeUndefined();
    expect(why({ identity, name: markName("/run/netns/never-there") })).toBeUndefined();
    expect(why({ identity, name: "/proc/1/nowhere" })).toBeUndefined();
  });

  it("knows one that is nowhere", () => {
    for (const name of ["/proc/4194304/ns/net", markName("/run/netns/gone")]) {
      expect(why({ identity: "4:1234", name })).toBe("its network namespace is gone");
    }
  });

  it("knows one whose inode the present call's has been given", () => {
    const mine = new StaleProof({ boot, namespace: { identity, name: own } });
    expect(why({ identity, name: markName("/run/netns/gone") }, mine)).toBe("its network namespace is gone");
    expect(why({ identity, name: own }, mine)).toBeUndefined();
  });

  it("says nothing where the call does not see its own namespace", () => {
    expect(why({ identity: "4:1234", name: markName("/run/netns/gone") }, new StaleProof({ boot }))).toBeUndefined();
  });

  it("takes what was set for a clock as the boot's beginning only if no file of the boot is older", () => {
    // more than the machine's uptime ago by this clock, and yet after /dev was made by that of then
    const proofless = new StaleProof({ boot });
    expect(proofless.why({ origin: undefined, mtimeMs: 1000 })).toBe("its file is older than this boot");
    expect(proofless.why({ origin: undefined, mtimeMs: Date.now() })).toBeUndefined();
    expect(proofless.why({ origin: undefined, mtimeMs: 4e12 })).toBeUndefined();
  });
});
