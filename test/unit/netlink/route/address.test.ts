import { describe, expect, it } from "vitest";
import { Address } from "../../../../src/ip/address.ts";
import { type AddressMessage, addressMessage, IFA_F } from "../../../../src/netlink/route/address.ts";
import { AF } from "../../../../src/netlink/route/message-types.ts";
import { bodyOf, hex, splitMessages, toHex, vector } from "../../../support/hex.ts";

const FILE = "addresses.hex";

const requests: readonly { name: string; message: Partial<AddressMessage> }[] = [
  {
    name: "add IPv4",
    message: {
      family: AF.INET,
      prefixLength: 16,
      index: 2,
      address: Address.parse("10.88.0.1"),
      local: Address.parse("10.88.0.1"),
      broadcast: Address.parse("10.88.255.255"),
    },
  },
  {
    name: "add IPv6",
    message: {
      family: AF.INET6,
      prefixLength: 64,
      flags8: IFA_F.NODAD,
      index: 2,
      address: Address.parse("fd00:88::1"),
      local: Address.parse("fd00:88::1"),
    },
  },
  {
    name: "add IPv6 without a route",
    message: {
      family: AF.INET6,
      prefixLength: 64,
      flags: IFA_F.NODAD | IFA_F.NOPREFIXROUTE,
      index: 3,
      address: Address.parse("fd00:89::1"),
      local: Address.parse("fd00:89::1"),
    },
  },
  {
    name: "delete IPv4",
    message: {
      family: AF.INET,
      prefixLength: 16,
      index: 2,
      address: Address.parse("10.99.0.1"),
      local: Address.parse("10.99.0.1"),
    },
  },
];

describe("address requests", () => {
  it.each(requests)("$name: the meaning of iproute2's bytes", ({ name, message }) => {
    const theirs = bodyOf(FILE, name);
    const ours = addressMessage.encode(message);
    expect(ours.length).toBe(theirs.length);
    expect(addressMessage.decode(ours)).toEqual(addressMessage.decode(theirs));
  });
});

describe("the kernel's answers", () => {
  const dump = splitMessages(vector(FILE, "dump")).map(({ body }) => addressMessage.decode(body));

  it("an IPv4 address", () => {
    expect(dump[0]).toMatchObject({
      family: AF.INET,
      prefixLength: 16,
      index: 2,
      scope: 0,
      address: Address.parse("10.88.0.1"),
      local: Address.parse("10.88.0.1"),
      broadcast: Address.parse("10.88.255.255"),
      label: "cni7",
      flags: IFA_F.PERMANENT,
    });
  });

  function six(address: string): AddressMessage | undefined {
    return dump.find((message) => message.address?.equals(Address.parse(address)));
  }

  it("an IPv6 address without duplicate detection", () => {
    const message = six("fd00:88::1");
    expect(message).toMatchObject({ family: AF.INET6, prefixLength: 64, scope: 0, flags: IFA_F.PERMANENT | IFA_F.NODAD });
    expect(message?.local).toBeUndefined();
  });

  it("an IPv6 address whose duplicate detection has not ended", () => {
    expect(six("fd00:91::1")).toMatchObject({ scope: 0, flags: IFA_F.PERMANENT | IFA_F.TENTATIVE });
  });

  it("a link-local address", () => {
    expect(six("fe80::c011:22ff:fe33:4466")).toMatchObject({ prefixLength: 64, scope: 253 });
  });

  it("every attribute survives decoding and encoding", () => {
    expect(dump).toHaveLength(4);
    for (const message of dump) {
      expect(message.unknownAttributes?.map(({ type }) => type)).toContain(6); // IFA_CACHEINFO
      expect(addressMessage.decode(addressMessage.encode(message))).toEqual(message);
    }
  });

  it("names IFA_LOCAL of five bytes", () => {
    expect(() => addressMessage.decode(hex("02100000 02000000 0900 0200 0a580001 01000000"))).toThrow(
      new RangeError("Cannot decode IFA_LOCAL: Cannot read an address: 5 bytes, expected 4 or 16"),
    );
  });

  it("bytes are those of iproute2 where the order is the same", () => {
    const { address, local, ...rest } = addressMessage.decode(bodyOf(FILE, "add IPv6"));
    const unordered = [addressMessage.encode({ ...rest, local }), addressMessage.encode({ address }).subarray(8)];
    expect(toHex(Buffer.concat(unordered))).toBe(toHex(bodyOf(FILE, "add IPv6")));
  });
});
