import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type CachedAttachment, ResultCache } from "../../../src/runtime/cache.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const attachment: CachedAttachment = {
  network: "demo",
  containerId: "cnitool-77383ca0a0715733ca6f",
  ifname: "eth0",
  netns: "/run/netns/blue",
  config: new TextEncoder().encode('{"name":"demo"}'),
  cniArgs: [
    ["IgnoreUnknown", "1"],
    ["IP", "10.1.2.3"],
  ],
  capabilityArgs: { mac: "02:00:00:00:00:01" },
  result: { cniVersion: "1.0.0", ips: [{ address: "10.1.2.3/24" }] },
};

const bare = { ...attachment, netns: undefined, cniArgs: [], capabilityArgs: {}, result: undefined };

// what libcni 1.3.0 writes for the attachment above
const libcni =
  '{"kind":"cniCacheV1","containerId":"cnitool-77383ca0a0715733ca6f","config":"eyJuYW1lIjoiZGVtbyJ9","ifName":"eth0","networkName":"demo",' +
  '"netns":"/run/netns/blue","cniArgs":[["IgnoreUnknown","1"],["IP","10.1.2.3"]],"capabilityArgs":{"mac":"02:00:00:00:00:01"},' +
  '"result":{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}]}}';

const file = "demo-cnitool-77383ca0a0715733ca6f-eth0";

describe("ResultCache", () => {
  it("writes what libcni writes, where it writes it, for root alone", () => {
    const directory = join(temporaryDirectory(), "cni");
    const cache = new ResultCache(directory);
    cache.write(attachment);
    expect(readdirSync(join(directory, "results"))).toEqual([file]);
    expect(cache.path(attachment)).toBe(join(directory, "results", file));
    expect(readFileSync(cache.path(attachment), "utf8")).toBe(libcni);
    expect(statSync(cache.path(attachment)).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, "results")).mode & 0o777).toBe(0o700);
  });

  it.each(["network", "containerId", "ifname"])("leads nowhere else by the name of a %s", (key) => {
    const directory = temporaryDirectory();
    const cache = new ResultCache(directory);
    for (const name of ["../../x", "x/../../../x", "/x", "a\0b"]) {
      for (const use of [cache.path, cache.read, cache.remove]) {
        expect(() => use.call(cache, { ...attachment, [key]: name })).toThrow("Cannot remember");
      }
      expect(() => cache.write({ ...attachment, [key]: name })).toThrow("Cannot remember");
    }
    cache.write(attachment);
    const inside = { network: "networkName", containerId: "containerId", ifname: "ifName" }[key] ?? "";
    writeFileSync(cache.path(attachment), JSON.stringify({ ...JSON.parse(libcni), [inside]: "../../x" }));
    const skipped: string[] = [];
    expect(cache.list((path) => skipped.push(path))).toEqual([]);
    expect(skipped).toEqual([cache.path(attachment)]);
  });

  it("leaves out what libcni leaves out", () => {
    const cache = new ResultCache(temporaryDirectory());
    cache.write(bare);
    expect(Object.keys(JSON.parse(readFileSync(cache.path(bare), "utf8")))).toEqual([
      "kind",
      "containerId",
      "config",
      "ifName",
      "networkName",
    ]);
    expect(cache.read(bare)).toMatchObject({ ...bare, config: Buffer.from(bare.config) });
  });

  it("reads what libcni wrote", () => {
    const directory = temporaryDirectory();
    const cache = new ResultCache(directory);
    mkdirSync(join(directory, "results"));
    writeFileSync(cache.path(attachment), libcni);
    const found = cache.read(attachment);
    expect(found).toMatchObject({ ...attachment, config: Buffer.from(attachment.config) });
    expect(found?.addedMs).toBe(statSync(cache.path(attachment)).mtimeMs);
    expect(cache.list()).toEqual([found]);
  });

  it("finds the namespace that libcni before 1.2 left out in the result, where it is one", () => {
    const cache = new ResultCache(temporaryDirectory());
    const netnsOf = (...sandboxes: unknown[]) => {
      const interfaces = sandboxes.map((sandbox) => ({ name: "any", sandbox }));
      cache.write({ ...bare, result: { cniVersion: "0.4.0", interfaces } });
      return cache.read(bare)?.netns;
    };
    expect(netnsOf(undefined, "/run/netns/blue", "/run/netns/blue", "")).toBe("/run/netns/blue");
    expect(netnsOf("/run/netns/blue", "/run/netns/red")).toBeUndefined();
    expect(netnsOf(undefined, 1)).toBeUndefined();
    cache.write({ ...bare, result: { cniVersion: "0.2.0", interfaces: "none" } });
    expect(cache.read(bare)?.netns).toBeUndefined();
  });

  it("replaces a result and leaves nothing else behind", () => {
    const directory = temporaryDirectory();
    const cache = new ResultCache(directory);
    cache.write(attachment);
    cache.write({ ...attachment, result: { cniVersion: "1.1.0" } });
    expect(cache.read(attachment)?.result).toEqual({ cniVersion: "1.1.0" });
    expect(readdirSync(join(directory, "results"))).toEqual([file]);
  });

  it.each([
    ["empty, as after a power loss", ""],
    ["zeros", "\0".repeat(100)],
    ["cut off", libcni.slice(0, 50)],
    ["a bare result of early versions", '{"cniVersion":"0.3.1","ips":[]}'],
    ["another kind", libcni.replace("cniCacheV1", "cniCacheV2")],
    ["without ids", '{"kind":"cniCacheV1"}'],
    ["a list", "[]"],
  ])("counts a file that is %s as absent", (_, content) => {
    const directory = temporaryDirectory();
    const cache = new ResultCache(directory);
    mkdirSync(join(directory, "results"));
    writeFileSync(cache.path(attachment), content);
    const skipped: string[] = [];
    expect(cache.read(attachment)).toBeUndefined();
    expect(cache.list((path) => skipped.push(path))).toEqual([]);
    expect(skipped).toEqual([cache.path(attachment)]);
  });

  it("does not take one attachment for another whose file has the same name", () => {
    const cache = new ResultCache(temporaryDirectory());
    const left = { ...bare, network: "a-b", containerId: "c" };
    const right = { ...bare, network: "a", containerId: "b-c" };
    expect(cache.path(left)).toBe(cache.path(right));
    cache.write(left);
    expect(cache.read(left)).toBeDefined();
    expect(cache.read(right)).toBeUndefined();
  });

  it("removes once and again", () => {
    const cache = new ResultCache(temporaryDirectory());
    cache.write(attachment);
    cache.remove(attachment);
    expect(cache.read(attachment)).toBeUndefined();
    expect(() => cache.remove(attachment)).not.toThrow();
  });

  it("is empty without a directory, and does not list what an interrupted write left", () => {
    const directory = temporaryDirectory();
    const cache = new ResultCache(directory);
    expect(cache.list()).toEqual([]);
    cache.write(attachment);
    writeFileSync(join(directory, "results", `.${file}.podlink-abc`), libcni);
    expect(cache.list()).toHaveLength(1);
  });

  it("keeps the old result when the new one cannot be written", () => {
    const directory = temporaryDirectory();
    const cache = new ResultCache(directory);
    cache.write(attachment);
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    expect(() => cache.write({ ...attachment, result: circular })).toThrow();
    expect(cache.read(attachment)?.result).toEqual(attachment.result);
  });
});
