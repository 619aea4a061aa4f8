import { describe, expect, it } from "vitest";
import { Address } from "../../../../src/ip/address.ts";
import { AF } from "../../../../src/netlink/route/message-types.ts";
import { type NeighbourMessage, NUD, neighbourMessage } from "../../../../src/netlink/route/neighbour.ts";
import { bodyOf, hex, splitMessages, toHex, vector } from "../../../support/hex.ts";

const FILE = "neighbours.hex";
const RTM_NEWNEIGH = 28;

const requests: readonly { name: string; message: Partial<NeighbourMessage> }[] = [
  {
    name: "add IPv4",
    message: {
      family: AF.INET,
      index: 2,
      state: NUD.PERMANENT,
      destination: Address.parse("10.88.0.9"),
      linkAddress: "c2:99:00:00:00:09",
    },
  },
  {
    name: "add IPv6",
    message: {
      family: AF.INET6,
      index: 2,
      state: NUD.STALE,
      destination: Address.parse("fd00:88::9"),
      linkAddress: "c2:99:00:00:00:06",
    },
  },
  {
    name: "delete IPv4",
    message: { family: AF.INET, index: 2, state: NUD.PERMANENT, destination: Address.parse("10.88.0.9") },
  },
];

function dump(name: string): NeighbourMessage[] {
  return splitMessages(vector(FILE, name))
    .filter(({ type }) => type === RTM_NEWNEIGH)
    .map(({ body }) => neighbourMessage.decode(body));
}

function of(name: string, address: string): NeighbourMessage | undefined {
  return dump(name).find(({ destination }) => destination?.equals(Address.parse(address)));
}

describe("neighbours", () => {
  it.each(requests)("$name: the bytes of iproute2", ({ name, message }) => {
    expect(toHex(neighbourMessage.encode(message))).toBe(toHex(bodyOf(FILE, name)));
    expect(neighbourMessage.decode(bodyOf(FILE, name))).toMatchObject(message);
  });

  it("reads the kernel's table of IPv4", () => {
    expect(of("dump IPv4", "10.88.0.9")).toMatchObject({ linkAddress: "c2:99:00:00:00:09", state: NUD.PERMANENT, index: 2 });
    expect(of("dump IPv4", "224.0.0.22")).toMatchObject({ linkAddress: "01:00:5e:00:00:16", state: NUD.NOARP });
  });

  it("reads the kernel's table of IPv6", () => {
    expect(of("dump IPv6", "fd00:88::9")).toMatchObject({ linkAddress: "c2:99:00:00:00:06", state: NUD.STALE, index: 2 });
    expect(of("dump IPv6", "ff02::16")).toMatchObject({ linkAddress: "33:33:00:00:00:16", state: NUD.NOARP });
  });

  it("keeps every attribute through decoding and encoding", () => {
    for (const message of [...dump("dump IPv4"), ...dump("dump IPv6")]) {
      expect(message.unknownAttributes?.map(({ type }) => type)).toEqual([4, 3]); // NDA_PROBES, NDA_CACHEINFO
      expect(neighbourMessage.decode(neighbourMessage.encode(message))).toEqual(message);
    }
  });

  it("names NDA_DST of five bytes", () => {
    expect(() => neighbourMessage.decode(hex("02000000 02000000 80000000 0900 0100 0a580009 01000000"))).toThrow(
      new RangeError("Cannot decode NDA_DST: Cannot read an address: 5 bytes, expected 4 or 16"),
    );
  });
});
