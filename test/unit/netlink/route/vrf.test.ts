import { describe, expect, it } from "vitest";
import { toLink } from "../../../../src/link/links.ts";
import { IFF, linkMessage } from "../../../../src/netlink/route/link.ts";
import { bodyOf } from "../../../support/hex.ts";

const FILE = "vrfs.hex";

describe("VRFs", () => {
  it("add VRF: the meaning of iproute2's bytes", () => {
    const message = { name: "red", flags: IFF.UP, change: IFF.UP, linkInfo: { kind: "vrf", data: { table: 10 } } };
    const theirs = linkMessage.decode(bodyOf(FILE, "add VRF"));
    expect(linkMessage.decode(linkMessage.encode(message))).toEqual(theirs);
    expect(theirs).toMatchObject(message);
  });

  it("are told with their table, and their ports with their master", () => {
    const [vrf, port] = ["a VRF", "a port"].map((name) => toLink(linkMessage.decode(bodyOf(FILE, name))));
    expect(vrf).toMatchObject({ name: "red", kind: "vrf", kindData: { table: 10 }, up: true, master: undefined });
    expect(port).toMatchObject({ name: "v0", kind: "veth", master: vrf?.index });
  });
});
