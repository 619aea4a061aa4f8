import { describe, expect, it } from "vitest";
import { toLink } from "../../../../src/link/links.ts";
import { tapTraits } from "../../../../src/link/tap.ts";
import { linkMessage } from "../../../../src/netlink/route/link.ts";
import { bodyOf } from "../../../support/hex.ts";

const FILE = "lent-links.hex";

describe("a device that changes its namespace", () => {
  it("is moved and named in one message, as by iproute2", () => {
    const theirs = linkMessage.decode(bodyOf(FILE, "move and rename"));
    const message = { index: 3, name: "eth0", netnsFd: 4 };
    expect(theirs).toMatchObject(message);
    expect(linkMessage.decode(linkMessage.encode(message))).toEqual(theirs);
  });
});

describe("a TAP device", () => {
  const shown = linkMessage.decode(bodyOf(FILE, "shown TAP device"));

  it("is read with its owner and its queues", () => {
    expect(shown).toMatchObject({ name: "tap0", mtu: 1500, linkInfo: { kind: "tun", data: { vnetHeader: true } } });
    expect(tapTraits(toLink(shown))).toEqual({ owner: 107, group: 108, multiQueue: true, persistent: true });
  });

  it("is known from a TUN device, and from all others", () => {
    const tun = { ...shown, linkInfo: { kind: "tun", data: { tunType: "tun" as const } } };
    expect(tapTraits(toLink(tun))).toBeUndefined();
    expect(tapTraits(toLink({ ...shown, linkInfo: { kind: "veth" } }))).toBeUndefined();
    expect(tapTraits(toLink({ ...shown, linkInfo: { kind: "tun" } }))).toBeUndefined();
  });
});
