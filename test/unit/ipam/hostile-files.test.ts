import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { allocate } from "../../../src/ipam/allocator.ts";
import { LeaseStore } from "../../../src/ipam/lease-store.ts";
import { makeRangeSets } from "../../../src/ipam/range-set.ts";
import { release, releaseStale } from "../../../src/ipam/release.ts";
import { readBounded } from "../../../src/support/bounded-file.ts";
import { Steps } from "../../../src/support/steps.ts";
import { FileLock } from "../../../src/sys/file-lock.ts";
import { TempStore } from "./temp-store.ts";

const sets = makeRangeSets([[{ subnet: "10.1.2.0/29" }]]);

function add(temp: TempStore, id: string): string {
  using store = temp.open();
  return String(allocate(store, { sets, requests: [], owner: { id, ifname: "eth0" }, warn: () => {} })[0]?.address.address);
}

function pipe(path: string): void {
  expect(spawnSync("mkfifo", [path]).status).toBe(0);
}

describe("what is planted in the data directory", () => {
  it("blocks its address at most: pipes, links, directories, devices' names", () => {
    using temp = new TempStore();
    const outside = join(temp.dataDir, "outside");
    writeFileSync(outside, "victim\r\neth0");
    pipe(join(temp.dir, "10.1.2.2"));
    symlinkSync(outside, join(temp.dir, "10.1.2.3"));
    mkdirSync(join(temp.dir, "10.1.2.4"));
    symlinkSync("/dev/zero", join(temp.dir, "10.1.2.5"));
    expect(add(temp, "a")).toBe("10.1.2.6");
    expect(() => add(temp, "b")).toThrow("no IP addresses available");
    {
      using store = temp.open();
      release(store, { id: "victim", ifname: "eth0" });
      releaseStale(store, []);
    }
    expect(readFileSync(outside, "utf8")).toBe("victim\r\neth0");
    expect(readdirSync(temp.dir).sort()).toEqual(["10.1.2.2", "10.1.2.3", "10.1.2.4", "10.1.2.5", "last_reserved_ip.0", "lock"]);
  });

  it("is not written through", () => {
    using temp = new TempStore();
    const outside = join(temp.dataDir, "outside");
    writeFileSync(outside, "precious");
    symlinkSync(outside, join(temp.dir, "last_reserved_ip.0"));
    symlinkSync(outside, join(temp.dir, ".new"));
    expect(add(temp, "a")).toBe("10.1.2.2");
    expect(readFileSync(outside, "utf8")).toBe("precious");
    expect(temp.warnings.join()).toContain("ELOOP");
    rmSync(join(temp.dir, "last_reserved_ip.0"));
    pipe(join(temp.dir, "last_reserved_ip.0"));
    expect(add(temp, "b")).toBe("10.1.2.3");
  });

  it("leaves nothing behind of a longer text that was written over", () => {
    using temp = new TempStore({ "last_reserved_ip.0": `10.1.2.4${" ".repeat(1000)}` });
    expect(add(temp, "a")).toBe("10.1.2.5");
    expect(temp.files()["last_reserved_ip.0"]).toBe("10.1.2.5");
  });

  it("is not locked in place of the lock", () => {
    using temp = new TempStore();
    symlinkSync(join(temp.dataDir, "made"), join(temp.dir, "lock"));
    expect(() => add(temp, "a")).toThrow(`Cannot lock "${temp.dir}/lock": ELOOP`);
    expect(existsSync(join(temp.dataDir, "made"))).toBe(false);
  });

  it("is no network's directory when it is a link", () => {
    using temp = new TempStore({ "10.1.2.2": "a\r\neth0" });
    const dir = join(temp.dataDir, "linked");
    symlinkSync("net1", dir);
    const warnings: string[] = [];
    const options = { steps: new Steps(), warn: (text: string) => warnings.push(text), lockTimeoutMs: 0 };
    expect(() => LeaseStore.create(dir, options)).toThrow(`"${dir}" is a symbolic link, which is not followed`);
    expect(LeaseStore.open(dir, options)).toBeUndefined();
    expect(warnings).toEqual([`"${dir}" is a symbolic link, which is not followed: no lease in it counts`]);
    expect(options.steps.list).toEqual([]);
  });
});

describe("a file that somebody else names", () => {
  it("is read only as far as it is a file, and not too long", () => {
    using temp = new TempStore({ text: "hello", link: "" });
    const path = (name: string) => join(temp.dir, name);
    rmSync(path("link"));
    symlinkSync("text", path("link"));
    pipe(path("pipe"));
    const options = { maxBytes: 5, follow: true };
    expect(readBounded(path("text"), options)).toBe("hello");
    expect(readBounded(path("link"), options)).toBe("hello");
    expect(() => readBounded(path("link"), { ...options, follow: false })).toThrow("ELOOP");
    expect(() => readBounded(path("text"), { ...options, maxBytes: 4 })).toThrow(`"${path("text")}" is longer than 4 bytes`);
    for (const other of ["/dev/zero", path("pipe"), temp.dir]) {
      expect(() => readBounded(other, options)).toThrow(`"${other}" is not a regular file`);
    }
    expect(() => readBounded(path("pipe"), { ...options, follow: false })).toThrow("is not a regular file");
  });
});

describe("a lock that is held", () => {
  it("is waited for once in a call", () => {
    using temp = new TempStore();
    using _held = FileLock.acquire(join(temp.dir, "lock"), { timeoutMs: 0 });
    const options = { steps: new Steps(), warn: () => {}, lockTimeoutMs: 30 };
    expect(() => LeaseStore.create(temp.dir, options)).toThrow("for all of 30 ms");
    expect(() => LeaseStore.open(temp.dir, options)).toThrow("for all of 0 ms");
    expect(() => LeaseStore.open(temp.dir, { ...options, steps: new Steps() })).toThrow("for all of 30 ms");
  });
});
