import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatRecord, isOfNetwork, parseRecord, referenceHomeName } from "../../../src/link/device-record.ts";
import { hostLinkName } from "../../../src/link/names.ts";

const demo = { network: "demo", containerId: "c1", ifname: "eth0" };
const home = { name: "ens5", mtu: 1500, mac: "52:54:00:12:34:56", up: true, alias: undefined };

const word = fc.string({ minLength: 1, maxLength: 300, unit: fc.constantFrom(..."abcdefgh0123456789._-") });
const linkName = fc
  .string({ minLength: 1, maxLength: 15, unit: "grapheme" })
  .filter((text) => Buffer.byteLength(text) <= 15 && !/[\s/:\0]/.test(text) && text.isWellFormed());
const mac = fc
  .uint8Array({ minLength: 6, maxLength: 20 })
  .map((bytes) => Buffer.from(bytes).toString("hex").replace(/..\B/g, "$&:"));
const parts = fc.record({ network: word, containerId: word, ifname: linkName });
const states = fc.record({
  name: linkName,
  mtu: fc.integer({ min: 0, max: 0xffffffff }),
  mac: fc.oneof(mac, fc.constant("")),
  up: fc.boolean(),
  alias: fc.option(
    fc.string({ minLength: 1, unit: "grapheme" }).filter((text) => text.isWellFormed()),
    { nil: undefined },
  ),
});

describe("the record of a device that is lent", () => {
  it("is a contract: this never changes", () => {
    expect(formatRecord(demo, { home, adding: false })).toBe(
      "podlink host-device/1 pl6kvsk35jexygf name=ens5 mtu=1500 mac=52:54:00:12:34:56 up for demo c1 eth0",
    );
    expect(formatRecord(demo, { home: { ...home, up: false, alias: "to rack 7" }, adding: true })).toBe(
      "podlink (adding) host-device/1 pl6kvsk35jexygf name=ens5 mtu=1500 mac=52:54:00:12:34:56 down alias=to%20rack%207 for demo c1 eth0",
    );
  });

  it("is read as it was written, within 254 bytes, however long the names are", () => {
    fc.assert(
      fc.property(parts, states, fc.boolean(), (attachment, state, adding) => {
        const text = formatRecord(attachment, { home: state, adding });
        expect(Buffer.byteLength(text)).toBeLessThanOrEqual(254);
        const record = parseRecord(text);
        expect(record).toMatchObject({ adding, key: hostLinkName(attachment) });
        expect({ ...record?.home, alias: undefined }).toEqual({ ...state, alias: undefined });
        expect([state.alias, undefined]).toContain(record?.home.alias);
        expect(record !== undefined && isOfNetwork(record, attachment.network)).toBe(true);
        expect(referenceHomeName(text)).toBeUndefined();
      }),
    );
  });

  it("has room for an alias of the device's own beside what a runtime calls things", () => {
    const attachment = { network: "storage-network", containerId: "f".repeat(64), ifname: "net1" };
    const own = "enp129s0f1np1 uplink to rack 7";
    expect(parseRecord(formatRecord(attachment, { home: { ...home, alias: own }, adding: true }))?.home.alias).toBe(own);
  });

  it("is cut at its end only, wherever that is", () => {
    const text = formatRecord(demo, { home, adding: true });
    const end = text.indexOf(" up") + 3;
    for (let length = end; length <= text.length; length++) {
      const short = text.slice(0, length).trimEnd();
      const record = parseRecord(short);
      expect(record?.home, short).toEqual(home);
      expect(record !== undefined && isOfNetwork(record, "demo")).toBe(true);
    }
    expect(parseRecord(text.slice(0, end - 3))).toBeUndefined();
  });

  it.each([
    ["nothing", undefined],
    ["an empty alias", ""],
    ["somebody's own words", "uplink"],
    ["the reference's", "ens5"],
    ["another type's", "podlink demo c1 eth0"],
    ["a later version's", "podlink host-device/2 pl6kvsk35jexygf name=ens5 mtu=1500 mac= up for demo c1 eth0"],
    ["no attachment's", "podlink host-device/1 plXXXXXXXXXXXXX name=ens5 mtu=1500 mac= up for demo c1 eth0"],
    ["broken", "podlink host-device/1 pl6kvsk35jexygf name=%zz mtu=1500 mac= up for demo c1 eth0"],
  ])("is not found in %s", (_title, alias) => expect(parseRecord(alias)).toBeUndefined());

  it("belongs to its network alone", () => {
    const record = parseRecord(formatRecord(demo, { home, adding: false }));
    if (record === undefined) throw new Error("no record");
    expect(isOfNetwork(record, "demo")).toBe(true);
    expect(isOfNetwork(record, "demo2")).toBe(false);
    expect(isOfNetwork({ ...record, attachment: "other c1 eth0" }, "demo")).toBe(false);
  });
});

describe("what the reference leaves", () => {
  it.each(["ens5", "enp129s0f1np1", "a"])("%s is a name", (alias) => expect(referenceHomeName(alias)).toBe(alias));
  it.each(["", "a b", "a/b", "a:b", ".", "..", "abcdefghijklmnop", undefined])("%j is none", (alias) =>
    expect(referenceHomeName(alias)).toBeUndefined(),
  );
});
