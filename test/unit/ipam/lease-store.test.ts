import { existsSync, linkSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Address } from "../../../src/ip/address.ts";
import { checkLeases } from "../../../src/ipam/lease-check.ts";
import { listLeases } from "../../../src/ipam/lease-list.ts";
import { LeaseStore } from "../../../src/ipam/lease-store.ts";
import { release, releaseStale } from "../../../src/ipam/release.ts";
import { Steps } from "../../../src/support/steps.ts";
import { FileLock, LockTimeoutError } from "../../../src/sys/file-lock.ts";
import { TempStore } from "./temp-store.ts";

const at = (text: string) => Address.parse(text);
const mode = (path: string) => statSync(path).mode & 0o777;

describe("the store", () => {
  it("makes the directory with the reference's modes and names", () => {
    using temp = new TempStore();
    rmSync(temp.dir, { recursive: true });
    {
      using store = temp.open();
      expect(store.put(at("FD00::0:3"), { id: "a", ifname: "eth0" })).toBe(true);
      store.setLastReserved(1, at("fd00::3"));
    }
    expect(readdirSync(temp.dir).sort()).toEqual(["fd00::3", "last_reserved_ip.1", "lock"]);
    expect(mode(temp.dir)).toBe(0o755);
    expect(mode(join(temp.dir, "fd00::3"))).toBe(0o600);
    expect(temp.steps.list[0]?.command).toBe(`mkdir -p ${temp.dir}`);
  });

  it("does not overwrite a lease", () => {
    using temp = new TempStore({ "10.1.2.3": "a\r\neth0" });
    using store = temp.open();
    expect(store.put(at("10.1.2.3"), { id: "b", ifname: "eth0" })).toBe(false);
    expect(temp.files()).toEqual({ "10.1.2.3": "a\r\neth0" });
  });

  it("spares the lease of a call that was killed before it could tidy up", () => {
    using temp = new TempStore({ "10.1.2.3": "a\r\neth0" });
    linkSync(join(temp.dir, "10.1.2.3"), join(temp.dir, ".new"));
    using store = temp.open();
    expect(store.put(at("10.1.2.4"), { id: "b", ifname: "eth0" })).toBe(true);
    expect(temp.files()).toEqual({ "10.1.2.3": "a\r\neth0", "10.1.2.4": "b\r\neth0" });
  });

  it("is not there without its directory, and is not made by asking", () => {
    using temp = new TempStore();
    const dir = join(temp.dataDir, "absent");
    const options = { steps: temp.steps, warn: () => {}, lockTimeoutMs: 0 };
    expect(LeaseStore.open(dir, options)).toBeUndefined();
    expect(existsSync(dir)).toBe(false);
    expect(temp.steps.list).toEqual([]);
  });

  it("says where a directory cannot be made", () => {
    using temp = new TempStore({ file: "" });
    const options = { steps: new Steps(), warn: () => {}, lockTimeoutMs: 0 };
    expect(() => LeaseStore.create(join(temp.dir, "file", "net1"), options)).toThrow(
      `Cannot make directory "${temp.dir}/file/net1": ENOTDIR`,
    );
  });

  it("names the process that keeps the lock too long", () => {
    using temp = new TempStore();
    using _held = FileLock.acquire(join(temp.dir, "lock"), { timeoutMs: 0 });
    const refused = () => temp.open(0);
    expect(refused).toThrow(LockTimeoutError);
    expect(refused).toThrow(
      new RegExp(`^Cannot lock "${temp.dir}/lock": held by process ${process.pid} \\(".+"\\) for all of 0 ms$`),
    );
  });

  it("gives the lock back", () => {
    using temp = new TempStore();
    temp.open(0)[Symbol.dispose]();
    temp.open(0)[Symbol.dispose]();
    expect(temp.steps.list.filter(({ error }) => error !== undefined)).toEqual([]);
  });
});

describe("release", () => {
  it("takes away what its owner holds, and id-only leases only where there is nothing else", () => {
    using temp = new TempStore({
      "10.1.2.2": "a\r\neth0",
      "10.1.2.3": "a\r\nnet1",
      "10.1.2.4": "a",
      "10.1.2.5": "b\r\neth0",
      "fd00::2": "a\r\neth0",
    });
    using store = temp.open();
    release(store, { id: "a", ifname: "eth0" });
    expect(Object.keys(temp.files())).toEqual(["10.1.2.3", "10.1.2.4", "10.1.2.5"]);
    release(store, { id: "a", ifname: "eth0" });
    expect(Object.keys(temp.files())).toEqual(["10.1.2.3", "10.1.2.5"]);
    release(store, { id: "a", ifname: "eth0" });
    expect(Object.keys(temp.files())).toEqual(["10.1.2.3", "10.1.2.5"]);
  });
});

describe("release of what is stale", () => {
  const files = {
    "10.1.2.2": "a\r\neth0",
    "10.1.2.3": "a\r\nnet1",
    "10.1.2.4": "b",
    "10.1.2.5": "c\r\neth0",
    "10.1.2.6": "",
    "10.1.2.7": "a note",
    "last_reserved_ip.0": "10.1.2.7",
  };

  it("keeps valid owners, early writers' leases of a valid id, and what is no lease", () => {
    using temp = new TempStore(files);
    using store = temp.open();
    releaseStale(store, [
      { id: "a", ifname: "eth0" },
      { id: "b", ifname: "net1" },
      { id: "c", ifname: "net1" },
    ]);
    expect(Object.keys(temp.files())).toEqual(["10.1.2.2", "10.1.2.4", "10.1.2.7", "last_reserved_ip.0"]);
    expect(temp.warnings).toEqual([expect.stringContaining("10.1.2.6")]);
  });

  it("keeps no lease when nothing is valid", () => {
    using temp = new TempStore(files);
    using store = temp.open();
    releaseStale(store, []);
    expect(Object.keys(temp.files())).toEqual(["10.1.2.7", "last_reserved_ip.0"]);
  });

  it("goes on after a failure and reports every one", () => {
    using temp = new TempStore(files);
    using store = temp.open();
    const remove = store.remove.bind(store);
    store.remove = (name) => {
      if (name === "10.1.2.2" || name === "10.1.2.5") throw new Error(`${name} is stuck`);
      remove(name);
    };
    expect(() => releaseStale(store, [])).toThrow(
      /^Cannot release 10.1.2.(2|5): .* is stuck; Cannot release 10.1.2.(2|5): .* is stuck$/,
    );
    expect(Object.keys(temp.files())).toEqual(["10.1.2.2", "10.1.2.5", "10.1.2.7", "last_reserved_ip.0"]);
  });
});

describe("the check of leases", () => {
  const owner = { id: "a", ifname: "eth0" };
  const files = { "10.1.2.2": "a\r\neth0", "10.1.2.3": "a", "10.1.2.4": "b\r\neth0", "10.1.2.5": "" };

  it.each([[["10.1.2.2"]], [["10.1.2.2", "10.1.2.3"]], [[]]])("passes with %j", (addresses) => {
    using temp = new TempStore(files);
    expect(() => checkLeases(temp.dir, owner, addresses.map(at))).not.toThrow();
  });

  it.each([
    ["10.1.2.4", 'the file names "b"/"eth0"; it holds 10.1.2.2, 10.1.2.3'],
    ["10.1.2.5", "the file is damaged; it holds"],
    ["10.1.2.6", "the file is not there; it holds"],
  ])("fails with %s", (address, message) => {
    using temp = new TempStore(files);
    expect(() => checkLeases(temp.dir, owner, [at(address)])).toThrow(
      `expected "${temp.dir}/${address}" to name it, but ${message}`,
    );
  });

  it("fails for an owner of nothing, with and without a directory", () => {
    using temp = new TempStore(files);
    const message = (dir: string) => `expected at least one in "${dir}", found none`;
    expect(() => checkLeases(temp.dir, { id: "z", ifname: "eth0" }, [])).toThrow(message(temp.dir));
    expect(() => checkLeases(join(temp.dataDir, "absent"), owner, [])).toThrow(message(join(temp.dataDir, "absent")));
  });
});

describe("the list of leases", () => {
  it("has all networks in order and leaves out what is no lease", () => {
    using temp = new TempStore({
      "10.1.2.10": "a\r\neth0",
      "10.1.2.9": "old",
      "10.1.2.3": "",
      "10.1.2.4": "a note",
      "1:2": "a\r\neth0",
      lock: "",
      "last_reserved_ip.0": "10.1.2.10",
    });
    mkdirSync(join(temp.dataDir, "alpha"));
    writeFileSync(join(temp.dataDir, "alpha", "fd00::1"), "b\r\nnet1");
    writeFileSync(join(temp.dataDir, "stray file"), "");
    utimesSync(join(temp.dir, "10.1.2.9"), 1000, 1000);
    expect(listLeases(temp.dataDir)).toEqual([
      { network: "alpha", address: "fd00::1", containerId: "b", ifname: "net1", mtimeMs: expect.any(Number) },
      { network: "net1", address: "10.1.2.9", containerId: "old", ifname: "", mtimeMs: 1_000_000 },
      { network: "net1", address: "10.1.2.10", containerId: "a", ifname: "eth0", mtimeMs: expect.any(Number) },
    ]);
  });

  it("is empty without a directory", () => {
    using temp = new TempStore();
    expect(listLeases(join(temp.dataDir, "absent"))).toEqual([]);
  });
});
