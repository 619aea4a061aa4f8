import {
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { allocate } from "../../../src/ipam/allocator.ts";
import { makeRangeSets } from "../../../src/ipam/range-set.ts";
import { release } from "../../../src/ipam/release.ts";
import { countCalls } from "./count-calls.ts";
import { TempStore } from "./temp-store.ts";

const sets = makeRangeSets([[{ subnet: "10.7.0.0/16" }]]);

function add(temp: TempStore, id: string): string {
  using store = temp.open();
  return String(
    allocate(store, { sets, requests: [], owner: { id, ifname: "eth0" }, warn: (text) => temp.warnings.push(text) })[0]?.address,
  );
}

function del(temp: TempStore, id: string): void {
  using store = temp.open();
  release(store, { id, ifname: "eth0" });
}

/** A store of somebody else's with so many leases, at addresses from 10.7.1.0 on. */
function filled(count: number): TempStore {
  const name = (i: number) => `10.7.${1 + (i >> 8)}.${i & 255}`;
  return new TempStore(Object.fromEntries(Array.from({ length: count }, (_, i) => [name(i), `c${i}\r\neth0`])));
}

const indexOf = (temp: TempStore) => join(temp.dataDir, ".podlink", "net1");
const compared = (temp: TempStore) => temp.steps.list.filter(({ command }) => command.startsWith("# compare")).length;

describe("the index", () => {
  it("makes every verb cost the same with ten leases and with a thousand", () => {
    using few = filled(10);
    using many = filled(1000);
    for (const temp of [few, many]) for (const id of ["first", "second"]) add(temp, id);
    for (const work of [
      (temp: TempStore) => add(temp, "x"),
      (temp: TempStore) => expect(() => add(temp, "c7")).toThrow("10.7.1.7 has been allocated to c7"),
      (temp: TempStore) => del(temp, "x"),
      (temp: TempStore) => del(temp, "c5"),
      (temp: TempStore) => del(temp, "nobody"),
    ]) {
      const calls = countCalls(() => work(many));
      expect(calls).toEqual(countCalls(() => work(few)));
      expect(calls).not.toHaveProperty("readdirSync");
    }
    expect(Object.keys(many.files())).not.toContain("10.7.1.5");
  });

  it("looks only at the files that somebody else brought or took", () => {
    const work = (temp: TempStore) => {
      writeFileSync(join(temp.dir, "10.7.0.77"), "foreign\r\neth0");
      unlinkSync(join(temp.dir, "10.7.1.3"));
      return countCalls(() => add(temp, "x"));
    };
    using few = filled(10);
    using many = filled(1000);
    for (const temp of [few, many]) add(temp, "first");
    expect(work(many)).toEqual(work(few));
    expect(() => add(many, "foreign")).toThrow("10.7.0.77 has been allocated to foreign");
    expect(add(many, "c3")).toBe("10.7.0.4/16");
    del(many, "foreign");
    expect(Object.keys(many.files())).not.toContain("10.7.0.77");
  });

  it("tells a file from another one of the same name", () => {
    using temp = filled(3);
    add(temp, "first");
    unlinkSync(join(temp.dir, "10.7.1.1"));
    writeFileSync(join(temp.dir, "10.7.1.1"), "other\r\neth0");
    del(temp, "c1");
    expect(temp.files()["10.7.1.1"]).toBe("other\r\neth0");
    expect(() => add(temp, "other")).toThrow("10.7.1.1 has been allocated to other");
    del(temp, "other");
    expect(Object.keys(temp.files())).not.toContain("10.7.1.1");
  });

  it.each<[string, (temp: TempStore) => void]>([
    ["lost", (temp) => rmSync(join(temp.dataDir, ".podlink"), { recursive: true })],
    ["without a record", (temp) => unlinkSync(join(indexOf(temp), "c1,eth0"))],
    ["without the files' second names", (temp) => rmSync(join(indexOf(temp), "leases"), { recursive: true })],
    ["without one second name", (temp) => unlinkSync(join(indexOf(temp), "leases", "10.7.1.1"))],
    [
      "with a record that is garbage",
      (temp) => {
        unlinkSync(join(indexOf(temp), "c1,eth0"));
        symlinkSync("../../etc/passwd", join(indexOf(temp), "c1,eth0"));
      },
    ],
    [
      "with a record of somebody else's address",
      (temp) => {
        unlinkSync(join(indexOf(temp), "c1,eth0"));
        symlinkSync("10.7.1.2 0123abcd", join(indexOf(temp), "c1,eth0"));
      },
    ],
    [
      "with directories in place of records",
      (temp) => {
        unlinkSync(join(indexOf(temp), "c1,eth0"));
        mkdirSync(join(indexOf(temp), "c1,eth0", "deep"), { recursive: true });
        mkdirSync(join(indexOf(temp), "leases", "10.7.1.9"));
      },
    ],
    [
      "of another version",
      (temp) => {
        unlinkSync(join(indexOf(temp), ".boot"));
        symlinkSync("0 0123abcd", join(indexOf(temp), ".boot"));
      },
    ],
    [
      "a link to somewhere else",
      (temp) => {
        rmSync(indexOf(temp), { recursive: true });
        mkdirSync(join(temp.dataDir, "elsewhere"));
        symlinkSync("../elsewhere", indexOf(temp));
      },
    ],
  ])("%s, is made again and says nothing wrong meanwhile", (_, spoil) => {
    using temp = filled(5);
    add(temp, "first");
    spoil(temp);
    expect(() => add(temp, "c1")).toThrow("10.7.1.1 has been allocated to c1");
    const before = compared(temp);
    expect(add(temp, "second")).toBe("10.7.0.3/16");
    del(temp, "c1");
    del(temp, "c2");
    expect(compared(temp)).toBe(before);
    expect(Object.keys(temp.files()).filter((name) => name.startsWith("10.7.1."))).toEqual(["10.7.1.0", "10.7.1.3", "10.7.1.4"]);
    expect(temp.warnings).toEqual([]);
  });

  it.each([
    ["of whole seconds, as some file systems keep them", 1_000_000_000],
    ["of the present, as two changes within a tick of the clock have them", 1_700_000_000.123_456],
  ])("does not take equal times for a seal: %s", (_, time) => {
    using temp = filled(2);
    add(temp, "first");
    for (const path of [temp.dir, join(indexOf(temp), "leases"), indexOf(temp)]) utimesSync(path, time, time);
    const before = compared(temp);
    add(temp, "second");
    expect(compared(temp)).toBe(before + 1);
  });

  it("notices a change whose time somebody set to that of before", () => {
    using temp = filled(2);
    add(temp, "first");
    const { mtime } = statSync(temp.dir);
    writeFileSync(join(temp.dir, "10.7.3.3"), "late\r\neth0");
    utimesSync(temp.dir, mtime, mtime);
    expect(() => add(temp, "late")).toThrow("10.7.3.3 has been allocated to late");
  });

  it("finds the real owner of a lease that was written over in place", () => {
    using temp = filled(3);
    add(temp, "first");
    writeFileSync(join(temp.dir, "10.7.1.1"), "other\r\neth0");
    del(temp, "c1"); // whose record it is: the file is looked into
    expect(temp.files()["10.7.1.1"]).toBe("other\r\neth0");
    del(temp, "other");
    expect(Object.keys(temp.files())).not.toContain("10.7.1.1");
  });

  it("lets a lease that was emptied in place go with its owner", () => {
    using temp = filled(3);
    add(temp, "first");
    writeFileSync(join(temp.dir, "10.7.1.1"), "");
    del(temp, "c1");
    expect(Object.keys(temp.files())).not.toContain("10.7.1.1");
    expect(readdirSync(join(indexOf(temp), "leases")).sort()).toEqual(["10.7.0.2", "10.7.1.0", "10.7.1.2"]);
  });

  it("leaves no trace of owners that are gone", () => {
    using temp = new TempStore();
    for (const id of ["a", "b"]) add(temp, id);
    for (const id of ["a", "b"]) del(temp, id);
    expect(readdirSync(indexOf(temp)).sort()).toEqual([".boot", "leases"]);
    expect(readdirSync(join(indexOf(temp), "leases"))).toEqual([]);
  });

  it("is done without where it cannot be made", () => {
    using temp = new TempStore({ "10.7.1.1": "c1\r\neth0" });
    writeFileSync(join(temp.dataDir, ".podlink"), "in the way");
    expect(() => add(temp, "c1")).toThrow("10.7.1.1 has been allocated to c1");
    expect(add(temp, "a")).toBe("10.7.0.2/16");
    del(temp, "c1");
    expect(Object.keys(temp.files())).toEqual(["10.7.0.2", "last_reserved_ip.0"]);
    expect(temp.warnings[0]).toContain(`Cannot keep an index of the leases in "${temp.dir}", so each one is read: ENOTDIR`);
  });

  it("has a record for owners with names that no file can have", () => {
    const long = "x".repeat(300);
    using temp = new TempStore({ "10.7.1.1": "a\r\n../../../etc/x", "10.7.1.2": `${long}\r\neth0` });
    expect(() => add(temp, long)).toThrow("10.7.1.2 has been allocated to");
    for (const owner of [
      { id: "a", ifname: "../../../etc/x" },
      { id: long, ifname: "eth0" },
    ]) {
      using store = temp.open();
      release(store, owner);
    }
    expect(temp.files()).toEqual({});
    expect(temp.warnings).toEqual([]);
  });

  it("keeps its records in links that lead nowhere", () => {
    using temp = new TempStore();
    add(temp, "a");
    expect(readlinkSync(join(indexOf(temp), "a,eth0"))).toMatch(/^10\.7\.0\.2 [0-9a-f]{8}$/);
  });
});
