import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Address } from "../../../../src/ip/address.ts";
import { Prefix } from "../../../../src/ip/prefix.ts";
import {
  decodeElements,
  describeElement,
  type Element,
  elementsMessage,
  encodeElements,
} from "../../../../src/netlink/netfilter/element.ts";
import type { NftSet } from "../../../../src/netlink/netfilter/set.ts";
import type { Table } from "../../../../src/netlink/netfilter/table.ts";
import { boundsOf } from "../../../../src/netlink/netfilter/values.ts";

const table: Table = { family: "inet", name: "podlink" };
const pods: NftSet = { table, name: "pods", key: ["ipv4_addr"], interval: true };
const pods6: NftSet = { table, name: "pods6", key: ["ipv6_addr"], interval: true };
const port = ["inet_proto", "inet_service"] as const;
const ports: NftSet = { table, name: "ports", key: port, data: ["ipv6_addr", "inet_service"] };
const allowed: NftSet = { table, name: "allowed", key: ["ipv4_addr", "inet_service"], interval: true };
const links: NftSet = { table, name: "links", key: ["ifname", "ether_addr"], data: "verdict" };

function roundTrip(set: NftSet, elements: readonly Element[]): Element[] {
  return decodeElements(set, [encodeElements(set, elements)]);
}

/** Values as text: first and last of each field. */
function plain(elements: readonly Element[]): string[][] {
  return elements.map(({ key }) => key.map((value) => Object.values(boundsOf(value)).map(String).join("-")));
}

const octet = fc.integer({ min: 0, max: 255 });
const address4 = fc.tuple(octet, octet, octet, octet).map((bytes) => Address.fromBytes(Uint8Array.from(bytes)));
const address6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Address.fromBytes(bytes));
const service = fc.integer({ min: 0, max: 0xffff });
const comment = fc.stringMatching(/^[a-z0-9/_.-]{1,120}$/);

describe("elements survive writing and reading", () => {
  it("of a map, with comments", () => {
    const protocol = fc.constantFrom("tcp", "udp", "sctp", 99);
    const element = fc.record({
      key: fc.tuple(protocol, service),
      data: fc.tuple(address6, service),
      comment: fc.option(comment, { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(element, { maxLength: 20 }), (elements) => void expect(roundTrip(ports, elements)).toEqual(elements)),
    );
  });

  it("of a verdict map", () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9]{0,14}$/);
    const mac = fc.constantFrom("02:00:00:00:00:01", "fe:ff:ff:ff:ff:ff");
    const verdict = fc.oneof(
      fc.constant({ code: "accept" as const }),
      name.map((chain) => ({ code: "goto" as const, chain })),
    );
    const element = fc.record({ key: fc.tuple(name, mac), data: verdict });
    fc.assert(
      fc.property(
        fc.array(element, { maxLength: 20 }),
        (elements) => void expect(roundTrip(links, elements)).toMatchObject(elements),
      ),
    );
  });

  it("of concatenated intervals", () => {
    const prefix = fc.tuple(address4, fc.integer({ min: 0, max: 32 })).map(([address, length]) => new Prefix(address, length));
    const range = fc.tuple(service, service).map(([one, other]) => ({ first: Math.min(one, other), last: Math.max(one, other) }));
    const element = fc.record({ key: fc.tuple(prefix, range) });
    fc.assert(
      fc.property(
        fc.array(element, { maxLength: 20 }),
        (elements) => void expect(plain(roundTrip(allowed, elements))).toEqual(plain(elements)),
      ),
    );
  });

  it.each([
    { set: pods, arbitrary: address4 },
    { set: pods6, arbitrary: address6 },
  ])("of intervals of $set.key that do not overlap, side by side and up to both ends", ({ set, arbitrary }) => {
    fc.assert(
      fc.property(fc.uniqueArray(arbitrary, { minLength: 1, maxLength: 12, selector: String }), fc.boolean(), (cuts, wide) => {
        const sorted = cuts.sort((one, other) => one.compare(other));
        // From each cut to just before the next, or to half way there
        const elements = sorted.map((first, at): Element => {
          const end = sorted[at + 1]?.value ?? (first.family === 4 ? 1n << 32n : 1n << 128n);
          const last = wide ? end - 1n : first.value + (end - 1n - first.value) / 2n;
          return { key: [{ first, last: new Address(first.family, last) }] };
        });
        const shuffled = [...elements].reverse();
        expect(plain(roundTrip(set, shuffled))).toEqual(plain(elements));
      }),
    );
  });
});

describe("an interval on the wire", () => {
  const wire = (set: NftSet, ...texts: string[]) =>
    elementsMessage
      .decode(
        encodeElements(
          set,
          texts.map((text) => ({ key: [Prefix.parse(text)] })),
        ),
      )
      .elements?.map(({ flags, key }) => [flags, String(Address.fromBytes(key?.value ?? new Uint8Array()))]);

  it("has an end that is no longer part of it", () => {
    expect(wire(pods, "10.0.0.0/8")).toEqual([
      [undefined, "10.0.0.0"],
      [1, "11.0.0.0"],
    ]);
    expect(wire(pods6, "fd00::/64")).toEqual([
      [undefined, "fd00::"],
      [1, "fd00:0:0:1::"],
    ]);
  });

  it("has none where it goes on to the highest address", () => {
    expect(wire(pods, "0.0.0.0/0")).toEqual([[undefined, "0.0.0.0"]]);
    expect(wire(pods6, "ff00::/8")).toEqual([[undefined, "ff00::"]]);
  });
});

describe("what cannot be written", () => {
  it.each<{ name: string; set: NftSet; element: Element; message: string }>([
    {
      name: "a range into a set without intervals",
      set: { ...pods, interval: false },
      element: { key: [Prefix.parse("10.0.0.0/8")] },
      message: 'Cannot put 10.0.0.0/8 into "pods": it has no intervals',
    },
    {
      name: "too few fields",
      set: ports,
      element: { key: ["tcp"] },
      message: "Cannot encode tcp: inet_proto . inet_service has 2 fields",
    },
    {
      name: "the other family",
      set: pods,
      element: { key: ["fd00::1"] },
      message: 'Cannot encode ipv4_addr "fd00::1": "fd00::1" is not an IPv4 address',
    },
    { name: "a name that is no protocol", set: ports, element: { key: ["nope", 1] }, message: 'Cannot encode inet_proto "nope"' },
    { name: "a port that is none", set: ports, element: { key: ["tcp", 65_536] }, message: 'Cannot encode inet_service "65536"' },
    {
      name: "a name too long for a link",
      set: links,
      element: { key: ["a-name-of-16-byte", "02:00:00:00:00:01"] },
      message: 'Cannot encode ifname "a-name-of-16-byte"',
    },
    {
      name: "a comment that nft would not load",
      set: pods,
      element: { key: ["10.0.0.1"], comment: "x".repeat(128) },
      message: "at most 127 bytes without quotes and line breaks",
    },
    { name: "a quote in a comment", set: pods, element: { key: ["10.0.0.1"], comment: 'a "b"' }, message: "without quotes" },
  ])("$name", ({ set, element, message }) => {
    expect(() => encodeElements(set, [element])).toThrow(message);
  });
});

describe("describeElement", () => {
  it.each<{ set: NftSet; element: Element; text: string }>([
    { set: pods, element: { key: [Prefix.parse("10.1.2.3/8")] }, text: "10.0.0.0/8" },
    { set: pods, element: { key: [{ first: "10.0.0.1", last: "10.0.0.9" }] }, text: "10.0.0.1-10.0.0.9" },
    {
      set: ports,
      element: { key: ["tcp", 80], data: ["fd00::1", 8080], comment: "net/cid/eth0" },
      text: 'tcp . 80 comment "net/cid/eth0" : fd00::1 . 8080',
    },
    {
      set: links,
      element: { key: ["veth1", "02:00:00:00:00:01"], data: { code: "jump", chain: "c" } },
      text: '"veth1" . 02:00:00:00:00:01 : jump c',
    },
  ])("$text", ({ set, element, text }) => {
    expect(describeElement(set, element)).toBe(text);
  });
});
