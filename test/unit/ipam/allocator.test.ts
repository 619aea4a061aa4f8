import { symlinkSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Address } from "../../../src/ip/address.ts";
import { allocate, assignRequests, DuplicateLeaseError, UnavailableError } from "../../../src/ipam/allocator.ts";
import { makeRangeSets, type RangeSet } from "../../../src/ipam/range-set.ts";
import { release, releaseGrants } from "../../../src/ipam/release.ts";
import { TempStore } from "./temp-store.ts";

const eth0 = (id: string) => ({ id, ifname: "eth0" });

function take(
  temp: TempStore,
  { sets, id, requested = [] }: { sets: readonly RangeSet[]; id: string; requested?: string[] },
): string[] {
  const requests = assignRequests(
    sets,
    requested.map((text) => Address.parse(text)),
  );
  using store = temp.open();
  const grants = allocate(store, { sets, requests, owner: eth0(id), warn: (message) => temp.warnings.push(message) });
  return grants.map(({ address }) => String(address));
}

describe("allocation", () => {
  it("gives one address of each set, with the subnet's length and gateway, and writes them down", () => {
    using temp = new TempStore();
    const sets = makeRangeSets([[{ subnet: "10.1.2.0/24" }], [{ subnet: "fd00::/64", gateway: "fd00::ffff" }]]);
    using store = temp.open();
    const grants = allocate(store, { sets, requests: [], owner: eth0("a"), warn: () => {} });
    expect(grants.map(({ address, gateway }) => `${address} ${gateway}`)).toEqual([
      "10.1.2.2/24 10.1.2.1",
      "fd00::1/64 fd00::ffff",
    ]);
    expect(temp.files()).toEqual({
      "10.1.2.2": "a\r\neth0",
      "fd00::1": "a\r\neth0",
      "last_reserved_ip.0": "10.1.2.2",
      "last_reserved_ip.1": "fd00::1",
    });
    const path = (name: string) => join(temp.dir, name);
    const typed = temp.steps.list.map(({ command }) => command).filter((command) => !command.startsWith("#"));
    expect(typed).toEqual([
      `flock ${path("lock")} true`,
      `(umask 077; set -C; printf '%s\\r\\n%s' a eth0 > ${path("10.1.2.2")})`,
      `printf %s 10.1.2.2 > ${path("last_reserved_ip.0")}`,
      `(umask 077; set -C; printf '%s\\r\\n%s' a eth0 > ${path("fd00::1")})`,
      `printf %s fd00::1 > ${path("last_reserved_ip.1")}`,
    ]);
  });

  it("behaves as a naive model under any sequence of allocations and releases", () => {
    const hosts = [2, 3, 4, 6, 7]; // of 10.0.0.1-10.0.0.4 with gateway 1, and 10.0.0.6-10.0.0.8 with gateway 8
    const sets = makeRangeSets([
      [
        { subnet: "10.0.0.0/24", rangeStart: "10.0.0.1", rangeEnd: "10.0.0.4" },
        { subnet: "10.0.0.0/24", rangeStart: "10.0.0.6", rangeEnd: "10.0.0.8", gateway: "10.0.0.8" },
      ],
    ]);
    const owner = fc.constantFrom("a", "b", "c", "d", "e", "f", "g");
    const request = fc.option(fc.constantFrom(...hosts), { nil: undefined });
    const call = fc.record({ id: owner, add: fc.boolean(), request });
    fc.assert(
      fc.property(fc.array(call, { maxLength: 40 }), (calls) => {
        using temp = new TempStore();
        const held = new Map<string, number>();
        let order = hosts;
        for (const { id, add, request } of calls) {
          if (!add) {
            held.delete(id);
            using store = temp.open();
            release(store, eth0(id));
            continue;
          }
          const free = order.filter((host) => ![...held.values()].includes(host));
          const expected = request === undefined ? free[0] : free.find((host) => host === request);
          const requested = request === undefined ? [] : [`10.0.0.${request}`];
          if (held.has(id)) expect(() => take(temp, { sets, id, requested })).toThrow(DuplicateLeaseError);
          else if (expected === undefined) expect(() => take(temp, { sets, id, requested })).toThrow(UnavailableError);
          else {
            expect(take(temp, { sets, id, requested })).toEqual([`10.0.0.${expected}/24`]);
            held.set(id, expected);
            order = [...hosts.slice(hosts.indexOf(expected) + 1), ...hosts.slice(0, hosts.indexOf(expected) + 1)];
          }
        }
        const { "last_reserved_ip.0": _, ...leases } = temp.files();
        expect(leases).toEqual(Object.fromEntries([...held].map(([id, host]) => [`10.0.0.${host}`, `${id}\r\neth0`])));
      }),
      { numRuns: 60 },
    );
  });

  it("says which ranges are full", () => {
    using temp = new TempStore({ "10.1.2.2": "a\r\neth0" });
    const sets = makeRangeSets([[{ subnet: "10.1.2.0/30" }]]);
    expect(() => take(temp, { sets, id: "b" })).toThrow(
      new UnavailableError("no IP addresses available in range set: 10.1.2.1-10.1.2.2"),
    );
  });

  it("takes nothing when one set is full, and leaves its owner's other leases alone", () => {
    using temp = new TempStore({ "fd00::2": "other\r\neth0", "192.168.0.9": "b\r\neth0", "10.1.2.3": "b\r\nnet1" });
    const sets = makeRangeSets([[{ subnet: "10.1.2.0/24" }], [{ subnet: "fd00::/126", rangeEnd: "fd00::2" }]]);
    expect(() => take(temp, { sets, id: "b" })).toThrow("no IP addresses available in range set: fd00::1-fd00::2");
    expect(temp.files()).toEqual({
      "192.168.0.9": "b\r\neth0",
      "10.1.2.3": "b\r\nnet1",
      "fd00::2": "other\r\neth0",
      "last_reserved_ip.0": "10.1.2.2",
    });
  });

  it("treats what a crash left as free and says so; a person's note blocks its address", () => {
    using temp = new TempStore({ "10.1.2.2": "", "10.1.2.3": "\0\0\0", "10.1.2.4": "taken by the printer" });
    const sets = makeRangeSets([[{ subnet: "10.1.2.0/29" }]]);
    const found = ["a", "b", "c", "d"].map((id) => take(temp, { sets, id })[0]);
    expect(found).toEqual(["10.1.2.2/29", "10.1.2.3/29", "10.1.2.5/29", "10.1.2.6/29"]);
    expect(temp.files()["10.1.2.4"]).toBe("taken by the printer");
    expect(temp.warnings).toEqual([
      expect.stringContaining(`"${temp.dir}/10.1.2.2" is empty or damaged`),
      expect.stringContaining(`"${temp.dir}/10.1.2.3" is empty or damaged`),
    ]);
  });

  it("goes on behind what somebody took without the lock, and fails where that was asked for", () => {
    // a dangling link is a name that reading does not see: it appears between the reading and the writing
    using temp = new TempStore();
    symlinkSync("nowhere", join(temp.dir, "10.1.2.2"));
    const sets = makeRangeSets([[{ subnet: "10.1.2.0/29" }]]);
    expect(() => take(temp, { sets, id: "a", requested: ["10.1.2.2"] })).toThrow(
      "requested IP address 10.1.2.2 is not available",
    );
    expect(take(temp, { sets, id: "a" })).toEqual(["10.1.2.3/29"]);
  });

  it.each([
    ["nonsense", "starts from the first"],
    ["", "starts from the first"],
    ["192.168.0.1", "starts from the first"],
  ])("with a last address %j it %s", (text) => {
    using temp = new TempStore({ "last_reserved_ip.0": text });
    const sets = makeRangeSets([[{ subnet: "10.1.2.0/29" }]]);
    expect(take(temp, { sets, id: "a" })).toEqual(["10.1.2.2/29"]);
  });

  it("refuses an owner that has an address, of ours or of an early writer, asked for or not", () => {
    using temp = new TempStore({ "10.1.2.2": "a\r\neth0", "10.1.2.3": "old", "192.168.0.1": "b\r\neth0" });
    const sets = makeRangeSets([[{ subnet: "10.1.2.0/29" }]]);
    const message = "10.1.2.2 has been allocated to a, duplicate allocation is not allowed";
    expect(() => take(temp, { sets, id: "a" })).toThrow(new DuplicateLeaseError(message));
    expect(() => take(temp, { sets, id: "a", requested: ["10.1.2.5"] })).toThrow(message);
    expect(() => take(temp, { sets, id: "old" })).toThrow("10.1.2.3 has been allocated to old");
    expect(take(temp, { sets, id: "b" })).toEqual(["10.1.2.4/29"]); // its other address is in no range of ours
  });
});

describe("requests", () => {
  const sets = makeRangeSets([[{ subnet: "10.1.2.0/24" }], [{ subnet: "fd00::/64" }, { subnet: "fd01::/64" }]]);
  const parse = (texts: string[]) => texts.map((text) => Address.parse(text));

  it("go to the sets they lie in, in any order, a repeated one once", () => {
    expect(assignRequests(sets, parse(["fd01::5", "10.1.2.9", "fd01::5"])).map(String)).toEqual(["10.1.2.9", "fd01::5"]);
    expect(assignRequests(sets, parse(["fd00::5"])).map(String)).toEqual(["undefined", "fd00::5"]);
    expect(assignRequests(sets, [])).toEqual([undefined, undefined]);
  });

  it.each([
    [["10.1.2.1"], "requested ip 10.1.2.1 is subnet's gateway"],
    [["10.9.9.9", "10.1.2.2", "fd77::1"], "failed to allocate all requested IPs: 10.9.9.9 fd77::1: "],
    [["10.1.2.8", "10.1.2.9"], "failed to allocate all requested IPs: 10.1.2.9: each range set gives one address"],
    [["10.1.2.255"], "failed to allocate all requested IPs: 10.1.2.255"],
  ])("%j are refused", (texts, message) => {
    expect(() => assignRequests(sets, parse(texts))).toThrow(message);
  });

  it("are leased, and name the holder where they cannot be", () => {
    using temp = new TempStore();
    expect(take(temp, { sets, id: "a", requested: ["10.1.2.9"] })).toEqual(["10.1.2.9/24", "fd00::2/64"]);
    expect(() => take(temp, { sets, id: "b", requested: ["10.1.2.9"] })).toThrow(
      'requested IP address 10.1.2.9 is not available in range set 10.1.2.1-10.1.2.254: held by "a"/"eth0"',
    );
  });
});

describe("releasing grants", () => {
  it("releases these alone, and only from their owner", () => {
    using temp = new TempStore({ "10.1.2.9": "a\r\neth0" });
    const sets = makeRangeSets([[{ subnet: "10.1.3.0/24" }], [{ subnet: "10.1.4.0/24" }]]);
    using store = temp.open();
    const grants = allocate(store, { sets, requests: [], owner: eth0("a"), warn: () => {} });
    releaseGrants(store, eth0("b"), grants);
    expect(Object.keys(temp.files())).toContain("10.1.3.2");
    releaseGrants(store, eth0("a"), grants.slice(0, 1));
    expect(Object.keys(temp.files())).toEqual(["10.1.2.9", "10.1.4.2", "last_reserved_ip.0", "last_reserved_ip.1"]);
  });
});
