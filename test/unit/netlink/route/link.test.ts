import { describe, expect, it } from "vitest";
import { IFF, type LinkMessage, linkMessage, OPER_UP } from "../../../../src/netlink/route/link.ts";
import { bodyOf, hex, toHex } from "../../../support/hex.ts";

const FILE = "links.hex";

/** Requests where iproute2 writes the same attributes in the same order as we do. */
const sameBytes: readonly { name: string; message: Partial<LinkMessage> }[] = [
  { name: "set promiscuous", message: { index: 2, flags: IFF.PROMISC, change: IFF.PROMISC } },
  { name: "set all-multicast", message: { index: 3, flags: IFF.ALLMULTI, change: IFF.ALLMULTI } },
  { name: "set queue length", message: { index: 3, txQueueLength: 77 } },
  { name: "set up", message: { index: 2, flags: IFF.UP, change: IFF.UP } },
  { name: "set address", message: { index: 2, address: "c2:11:22:33:44:66" } },
  { name: "add alternative name", message: { index: 4, alternativeNames: ["bwp194c9f25c1cf"] } },
  { name: "delete", message: { index: 4 } },
];

/** Requests where iproute2 orders attributes otherwise, leaves out a NUL or NLA_F_NESTED: they mean the same. */
const sameMeaning: readonly { name: string; message: Partial<LinkMessage> }[] = [
  { name: "add bridge", message: { name: "cni7", mtu: 1400, address: "c2:11:22:33:44:55", linkInfo: { kind: "bridge" } } },
  {
    name: "add bridge with VLAN filtering",
    message: { name: "cni8", linkInfo: { kind: "bridge", data: { vlanFiltering: true, defaultPvid: 0 } } },
  },
  {
    name: "add veth",
    message: {
      name: "plk3d9x7f2mq4ta",
      mtu: 1400,
      address: "c2:aa:00:00:00:01",
      master: 2,
      txQueues: 1,
      rxQueues: 1,
      linkInfo: {
        kind: "veth",
        data: { peer: { name: "eth0", mtu: 1400, address: "c2:aa:00:00:00:02", netnsFd: 4, txQueues: 1, rxQueues: 1 } },
      },
    },
  },
  { name: "set alias", message: { index: 4, alias: "podlink demo c1 eth0" } },
  { name: "get by name", message: { name: "cni7", extMask: 9 } },
];

describe("link requests", () => {
  it.each(sameBytes)("$name: the bytes of iproute2", ({ name, message }) => {
    expect(toHex(linkMessage.encode(message))).toBe(toHex(bodyOf(FILE, name)));
  });

  it.each(sameMeaning)("$name: the meaning of iproute2's bytes", ({ name, message }) => {
    const theirs = linkMessage.decode(bodyOf(FILE, name));
    expect(linkMessage.decode(linkMessage.encode(message))).toEqual(theirs);
    expect(theirs).toMatchObject(message);
  });

  it("set port flags: the slave data of iproute2, under the kind that the kernel asks back", () => {
    const theirs = linkMessage.decode(bodyOf(FILE, "set port flags"));
    const ours = linkMessage.encode({
      index: 4,
      linkInfo: { slaveKind: "bridge", slaveData: { hairpin: true, isolated: true } },
    });
    expect(theirs.linkInfo?.kind).toBe("bridge_slave"); // iproute2 writes it as the link's own kind
    const slaveData = theirs.linkInfo?.slaveData;
    expect(slaveData).toBeInstanceOf(Uint8Array);
    expect(toHex(ours)).toContain(toHex(slaveData as Uint8Array));
    expect(linkMessage.decode(ours)).toMatchObject({
      linkInfo: { slaveKind: "bridge", slaveData: { hairpin: true, isolated: true } },
    });
  });
});

describe("the kernel's answers", () => {
  it("a bridge", () => {
    const link = linkMessage.decode(bodyOf(FILE, "bridge"));
    expect(link).toMatchObject({
      name: "cni7",
      index: 2,
      type: 1, // ARPHRD_ETHER
      address: "c2:11:22:33:44:66",
      broadcast: "ff:ff:ff:ff:ff:ff",
      mtu: 1400,
      operState: OPER_UP,
      promiscuity: 1,
      txQueues: 1,
      carrier: 1,
      linkInfo: { kind: "bridge", data: { forwardDelay: 1500, stpState: 0 } },
    });
    expect(link.flags & (IFF.UP | IFF.PROMISC | IFF.LOWER_UP)).toBe(IFF.UP | IFF.PROMISC | IFF.LOWER_UP);
    expect(link.master).toBeUndefined();
  });

  it("a veth that is a bridge port, its peer in another namespace", () => {
    const link = linkMessage.decode(bodyOf(FILE, "bridge port"));
    expect(link).toMatchObject({
      name: "plk3d9x7f2mq4ta",
      index: 4,
      master: 2,
      link: 2,
      linkNetnsId: 0,
      alias: "podlink demo c1 eth0",
      linkInfo: { kind: "veth", slaveKind: "bridge", slaveData: { state: 3, hairpin: true, isolated: true } },
    });
  });

  it("the container's end", () => {
    const link = linkMessage.decode(bodyOf(FILE, "container end"));
    expect(link).toMatchObject({
      name: "eth0",
      index: 2,
      link: 4,
      linkNetnsId: 0,
      address: "c2:aa:00:00:00:02",
      operState: OPER_UP,
    });
    expect(link.linkInfo).toEqual({ kind: "veth" });
  });

  it.each(["bridge", "bridge port", "container end"])("%s: every attribute survives decoding and encoding", (name) => {
    const link = linkMessage.decode(bodyOf(FILE, name));
    expect(link.unknownAttributes?.length).toBeGreaterThan(10);
    expect(linkMessage.decode(linkMessage.encode(link))).toEqual(link);
  });
});

describe("broken link messages", () => {
  const HEADER = "00000100 02000000 43110100 00000000";

  it("names IFLA_MTU of three bytes", () => {
    expect(() => linkMessage.decode(hex(`${HEADER} 0700 0400 dc050000`))).toThrow(
      new RangeError("Cannot decode IFLA_MTU: 3 bytes, expected 4"),
    );
  });

  it("names the way down to an attribute of a nest", () => {
    const wire = hex(`${HEADER} 1800 1280   0b00 0100 627269646765 00 00   0800 0280 0400 0700`);
    expect(() => linkMessage.decode(wire)).toThrow(
      new RangeError(
        "Cannot decode IFLA_LINKINFO: Cannot decode IFLA_INFO_DATA: Cannot decode IFLA_BR_VLAN_FILTERING: 0 bytes, expected 1",
      ),
    );
  });

  it("keeps the data of kinds it does not know", () => {
    const wire = hex(`${HEADER} 1800 1280   0a00 0100 64756d6d7900 0000   0800 0280 deadbeef`);
    expect(linkMessage.decode(wire).linkInfo).toEqual({ kind: "dummy", data: Uint8Array.of(0xde, 0xad, 0xbe, 0xef) });
    expect(toHex(linkMessage.encode(linkMessage.decode(wire)))).toBe(toHex(wire));
  });

  it("refuses a MAC that is none", () => {
    expect(() => linkMessage.encode({ address: "c2:11" })).toThrow(
      'Cannot encode IFLA_ADDRESS: Cannot parse MAC address "c2:11"',
    );
  });
});
