import { describe, expect, it } from "vitest";
import { bridgeVlanMessage, RTEXT_FILTER_BRVLAN, VLAN_FLAG } from "../../../../src/netlink/route/link.ts";
import { AF } from "../../../../src/netlink/route/message-types.ts";
import { bodyOf, splitMessages, toHex, vector } from "../../../support/hex.ts";

const FILE = "bridge-vlans.hex";

function decodeAll(name: string) {
  return splitMessages(vector(FILE, name)).map(({ body }) => bridgeVlanMessage.decode(body));
}

describe("VLANs of bridge ports", () => {
  it.each([
    { name: "add VLAN", flags: VLAN_FLAG.PVID | VLAN_FLAG.UNTAGGED },
    { name: "delete VLAN", flags: 0 },
  ])("$name: the meaning of iproute2's bytes, which lack NLA_F_NESTED", ({ name, flags }) => {
    const message = { family: AF.BRIDGE, index: 4, vlans: [{ flags, vid: 10 }] };
    const theirs = bodyOf(FILE, name);
    expect(bridgeVlanMessage.decode(theirs)).toMatchObject(message);
    expect(toHex(bridgeVlanMessage.encode(message)).replace("0c001a80", "0c001a00")).toBe(toHex(theirs));
  });

  it("asks for a dump in the bytes of iproute2", () => {
    const body = bridgeVlanMessage.encode({ family: AF.BRIDGE, extMask: RTEXT_FILTER_BRVLAN });
    expect(toHex(body)).toBe(toHex(bodyOf(FILE, "dump request")));
  });

  it("reads the dump of a kernel without CONFIG_BRIDGE_VLAN_FILTERING: ports, no VLANs", () => {
    const [bridge, port] = decodeAll("dump without VLANs");
    expect(bridge).toMatchObject({ family: AF.BRIDGE, index: 2, name: "cni7", master: 2 });
    expect(port).toMatchObject({ family: AF.BRIDGE, index: 4, name: "plk3d9x7f2mq4ta", master: 2 });
    expect(port?.protinfo?.length).toBe(0x150 - 4);
    expect([bridge?.vlans, port?.vlans]).toEqual([undefined, undefined]);
  });

  it("reads the VLANs of a dump", () => {
    const [bridge, port] = decodeAll("dump with VLANs");
    const untagged = VLAN_FLAG.PVID | VLAN_FLAG.UNTAGGED;
    expect(bridge?.vlans).toEqual([{ flags: untagged, vid: 1 }]);
    expect(port?.vlans).toEqual([
      { flags: untagged, vid: 1 },
      { flags: 0, vid: 10 },
      { flags: 0, vid: 11 },
    ]);
  });

  it("keeps everything through decoding and encoding", () => {
    for (const message of [...decodeAll("dump with VLANs"), ...decodeAll("dump without VLANs")]) {
      expect(bridgeVlanMessage.decode(bridgeVlanMessage.encode(message))).toEqual(message);
    }
  });
});
