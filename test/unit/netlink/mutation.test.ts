import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Address } from "../../../src/ip/address.ts";
import { NetlinkError } from "../../../src/netlink/acks.ts";
import { NetlinkConnection } from "../../../src/netlink/connection.ts";
import { conntrackMessage } from "../../../src/netlink/netfilter/conntrack.ts";
import { elementsMessage } from "../../../src/netlink/netfilter/element.ts";
import { ruleMessage } from "../../../src/netlink/netfilter/rule.ts";
import { setMessage } from "../../../src/netlink/netfilter/set.ts";
import { addressMessage } from "../../../src/netlink/route/address.ts";
import { filterMessage } from "../../../src/netlink/route/filter.ts";
import { bridgeVlanMessage, linkMessage } from "../../../src/netlink/route/link.ts";
import { RTM } from "../../../src/netlink/route/message-types.ts";
import { neighbourMessage } from "../../../src/netlink/route/neighbour.ts";
import { qdiscMessage } from "../../../src/netlink/route/qdisc.ts";
import { routeMessage } from "../../../src/netlink/route/route.ts";
import { fibRuleMessage } from "../../../src/netlink/route/rule.ts";
import { FakeKernel } from "../../support/fake-kernel.ts";
import { bodyOf, readVectors } from "../../support/hex.ts";

interface Format {
  encode(value: unknown): Uint8Array;
  decode(bytes: Uint8Array): unknown;
}

/** The captured ones have a rate table of 1 KB, which no mutation would miss often enough. */
const shortTbf = qdiscMessage.encode({
  index: 7,
  kind: "tbf",
  options: { parameters: { rate: 0xffffffff, limit: 5 }, rate64: 10n ** 10n },
});

const formats: readonly { name: string; format: Format; sample: Uint8Array }[] = [
  { name: "link", format: linkMessage as Format, sample: bodyOf("links.hex", "bridge port") },
  { name: "veth request", format: linkMessage as Format, sample: bodyOf("links.hex", "add veth") },
  { name: "bridge VLANs", format: bridgeVlanMessage as Format, sample: bodyOf("bridge-vlans.hex", "dump with VLANs") },
  { name: "address", format: addressMessage as Format, sample: bodyOf("addresses.hex", "dump") },
  { name: "route", format: routeMessage as Format, sample: bodyOf("routes.hex", "IPv6 of table 300") },
  { name: "FIB rule", format: fibRuleMessage as Format, sample: bodyOf("rules.hex", "add everything") },
  { name: "rule", format: ruleMessage as Format, sample: bodyOf("nftables.hex", "answer: rules") },
  { name: "set", format: setMessage as Format, sample: bodyOf("nftables.hex", "answer: sets") },
  { name: "elements", format: elementsMessage as Format, sample: bodyOf("nftables.hex", "answer: elements of hostport4") },
  { name: "connection", format: conntrackMessage as Format, sample: bodyOf("conntrack.hex", "answer: dump IPv4") },
  { name: "neighbour", format: neighbourMessage as Format, sample: bodyOf("neighbours.hex", "dump IPv4") },
  { name: "qdisc", format: qdiscMessage as Format, sample: shortTbf },
  { name: "filter", format: filterMessage as Format, sample: bodyOf("filters.hex", "add redirect") },
];

/** Some bytes changed, the end cut off. */
function mutations(sample: Uint8Array): fc.Arbitrary<Uint8Array> {
  const change = fc.tuple(fc.nat(sample.length - 1), fc.integer({ min: 0, max: 255 }));
  return fc.tuple(fc.array(change, { maxLength: 8 }), fc.nat(sample.length)).map(([changes, cut]) => {
    const bytes = Uint8Array.from(sample);
    for (const [at, value] of changes) bytes[at] = value;
    return bytes.subarray(0, sample.length - (cut % 9));
  });
}

/** Whether `work` returned; anything but the errors allowed goes on. */
function survives(work: () => unknown, ...allowed: readonly (new (...parameters: never[]) => Error)[]): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (allowed.some((type) => error instanceof type)) return false;
    throw error;
  }
}

describe.each(formats)("$name", ({ format, sample }) => {
  it("reads mutated bytes or refuses them with a RangeError", () => {
    let read = 0;
    fc.assert(
      fc.property(mutations(sample), (bytes) => {
        if (survives(() => format.decode(bytes), RangeError)) read++;
      }),
      { numRuns: 500 },
    );
    expect(read).toBeGreaterThan(0); // else the property would say nothing
  });

  it("reads any bytes or refuses them with a RangeError", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void survives(() => format.decode(bytes), RangeError)));
  });
});

const u8 = fc.integer({ min: 0, max: 0xff });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const i32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const mac = fc
  .uint8Array({ minLength: 6, maxLength: 6 })
  .map((bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":"));
const word = fc.string({ maxLength: 20, unit: "grapheme" }).filter((text) => !text.includes("\0"));
const ip = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }).map((value) => new Address(4, value)),
  fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((value) => new Address(6, value)),
);
const unknownAttributes = fc.array(
  fc.record({ type: fc.integer({ min: 200, max: 0x3fff }), data: fc.uint8Array({ maxLength: 9 }) }),
  { minLength: 1, maxLength: 3 },
);

const values: readonly { name: string; format: Format; value: fc.Arbitrary<unknown> }[] = [
  {
    name: "link",
    format: linkMessage as Format,
    value: fc.record(
      {
        family: u8,
        index: i32,
        flags: u32,
        change: u32,
        address: mac,
        name: word,
        mtu: u32,
        master: u32,
        alias: word,
        operState: u8,
        linkNetnsId: i32,
        linkInfo: fc.oneof(
          fc.record({
            kind: fc.constant("bridge"),
            data: fc.record({ vlanFiltering: fc.boolean(), defaultPvid: u8 }, { requiredKeys: [] }),
          }),
          fc.record({
            kind: fc.constant("veth"),
            data: fc.record({ peer: fc.record({ name: word, address: mac, netnsFd: u32 }) }),
          }),
          fc.record({ kind: fc.constant("dummy"), data: fc.uint8Array({ maxLength: 12 }) }),
          fc.record({
            slaveKind: fc.constant("bridge"),
            slaveData: fc.record({ state: u8, hairpin: fc.boolean(), isolated: fc.boolean() }),
          }),
        ),
        unknownAttributes,
      },
      { requiredKeys: [] },
    ),
  },
  {
    name: "bridge VLANs",
    format: bridgeVlanMessage as Format,
    value: fc.record({
      family: u8,
      index: i32,
      vlans: fc.array(fc.record({ flags: u8, vid: u8 }), { maxLength: 5 }),
      unknownAttributes,
    }),
  },
  {
    name: "address",
    format: addressMessage as Format,
    value: fc.record(
      { family: u8, prefixLength: u8, scope: u8, index: u32, address: ip, local: ip, label: word, flags: u32, unknownAttributes },
      { requiredKeys: [] },
    ),
  },
  {
    name: "route",
    format: routeMessage as Format,
    value: fc.record(
      {
        family: u8,
        dstLength: u8,
        table: u8,
        scope: u8,
        dst: ip,
        gateway: ip,
        outIndex: u32,
        priority: u32,
        metrics: fc.record({ mtu: u32, advmss: u32, unknownAttributes }, { requiredKeys: [] }),
        tableId: u32,
        unknownAttributes,
      },
      { requiredKeys: [] },
    ),
  },
  {
    name: "neighbour",
    format: neighbourMessage as Format,
    value: fc.record(
      { family: u8, index: u32, state: u8, destination: ip, linkAddress: mac, unknownAttributes },
      { requiredKeys: [] },
    ),
  },
  {
    name: "qdisc",
    format: qdiscMessage as Format,
    value: fc.record({
      index: i32,
      handle: u32,
      parent: u32,
      kind: fc.constant("tbf"),
      options: fc.record(
        {
          parameters: fc.record({ rate: u32, limit: u32, buffer: u32, mtu: u32, linkLayer: u8 }, { requiredKeys: [] }),
          burst: u32,
          rate64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
          unknownAttributes,
        },
        { requiredKeys: [] },
      ),
    }),
  },
  {
    name: "filter",
    format: filterMessage as Format,
    value: fc.record({
      index: i32,
      info: u32,
      kind: fc.constant("u32"),
      options: fc.record(
        {
          classId: u32,
          actions: fc.array(
            fc.record({
              kind: fc.constant("mirred"),
              options: fc.record({ parameters: fc.record({ action: i32, direction: i32, index: u32 }), unknownAttributes }),
            }),
            { maxLength: 3 },
          ),
          selector: fc.record({ flags: u8, keys: fc.array(fc.record({ mask: u32, value: u32, offset: i32 }), { maxLength: 4 }) }),
          unknownAttributes,
        },
        { requiredKeys: [] },
      ),
    }),
  },
];

describe.each(values)("$name", ({ format, value }) => {
  it("reads what it writes, and writes the same again", () => {
    fc.assert(
      fc.property(value, (written) => {
        const wire = format.encode(written);
        const read = format.decode(wire);
        expect(read).toMatchObject(written as object);
        expect(Buffer.from(format.encode(read)).equals(wire)).toBe(true);
      }),
    );
  });
});

describe("captured datagrams", () => {
  const datagrams = [
    "acks.hex",
    "links.hex",
    "addresses.hex",
    "routes.hex",
    "neighbours.hex",
    "qdiscs.hex",
    "filters.hex",
  ].flatMap((file) => [...readVectors(file).values()]);

  it("mutated, are read or refused", () => {
    const mutated = fc.constantFrom(...datagrams).chain(mutations);
    fc.assert(
      fc.property(mutated, (datagram) => {
        const kernel = new FakeKernel(() => []);
        kernel.notify(datagram);
        const connection = new NetlinkConnection(kernel);
        survives(() => connection.listen(0), RangeError);
      }),
      { numRuns: 500 },
    );
  });

  it("mutated behind a sequence number that fits, end an exchange one way or another", () => {
    const acks = [...readVectors("acks.hex").values()];
    const mutated = fc.constantFrom(...acks).chain(mutations);
    fc.assert(
      fc.property(mutated, (datagram) => {
        const kernel = new FakeKernel(({ sequence }) => {
          const bytes = Buffer.from(datagram);
          bytes.writeUInt32LE(sequence, 8);
          return [bytes];
        });
        survives(
          () => new NetlinkConnection(kernel).dump({ type: RTM.GETLINK, body: new Uint8Array(16) }),
          RangeError,
          NetlinkError,
          Error,
        );
        expect(kernel.requests.length).toBeLessThanOrEqual(10);
      }),
      { numRuns: 500 },
    );
  });
});
