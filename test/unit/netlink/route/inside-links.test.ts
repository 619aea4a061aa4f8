import { describe, expect, it } from "vitest";
import { ADDING_GROUP } from "../../../../src/link/names.ts";
import { type LinkMessage, linkMessage } from "../../../../src/netlink/route/link.ts";
import { bodyOf, hex, toHex } from "../../../support/hex.ts";

const FILE = "inside-links.hex";

const place = { name: "eth0", netnsFd: 4, group: ADDING_GROUP };

/** iproute2 orders attributes otherwise and leaves out NLA_F_NESTED: these mean the same. */
const requests: readonly { name: string; message: Partial<LinkMessage> }[] = [
  {
    name: "add macvlan",
    message: {
      ...place,
      mtu: 1400,
      address: "c2:aa:00:00:00:03",
      link: 3,
      linkInfo: { kind: "macvlan", data: { mode: "bridge", bcQueueLength: 2000 } },
    },
  },
  { name: "add ipvlan", message: { ...place, link: 3, linkInfo: { kind: "ipvlan", data: { mode: "l3s", flags: 0 } } } },
  { name: "add vlan", message: { ...place, link: 3, linkInfo: { kind: "vlan", data: { id: 100 } } } },
  { name: "add dummy", message: { ...place, linkInfo: { kind: "dummy" } } },
  { name: "finish", message: { index: 2, alias: "podlink demo c1 eth0", group: 0 } },
];

describe("requests for links that live in a container alone", () => {
  it.each(requests)("$name: the meaning of iproute2's bytes", ({ name, message }) => {
    const theirs = linkMessage.decode(bodyOf(FILE, name));
    expect(linkMessage.decode(linkMessage.encode(message))).toEqual(theirs);
    expect(theirs).toMatchObject(message);
  });

  it.each([
    ["private", "01000000"],
    ["vepa", "02000000"],
    ["bridge", "04000000"],
    ["passthru", "08000000"],
  ] as const)("macvlan mode %s is %s", (mode, digits) => {
    const bytes = linkMessage.encode({ linkInfo: { kind: "macvlan", data: { mode } } });
    expect(toHex(bytes)).toContain(`08000100${digits}`);
    expect(linkMessage.decode(bytes).linkInfo).toEqual({ kind: "macvlan", data: { mode } });
  });

  it.each([
    ["l2", "0000"],
    ["l3", "0100"],
    ["l3s", "0200"],
  ] as const)("ipvlan mode %s is %s", (mode, digits) => {
    const bytes = linkMessage.encode({ linkInfo: { kind: "ipvlan", data: { mode } } });
    expect(toHex(bytes)).toContain(`06000100${digits}`);
    expect(linkMessage.decode(bytes).linkInfo).toEqual({ kind: "ipvlan", data: { mode } });
  });
});

describe("the kernel's answer", () => {
  const answer = linkMessage.decode(bodyOf(FILE, "macvlan of another namespace"));

  it("has the parent in its own namespace, and what the kind has", () => {
    expect(answer).toMatchObject({
      name: "eth0",
      link: 3,
      linkNetnsId: 0,
      group: 0,
      alias: "podlink demo c1 eth0",
      address: "c2:aa:00:00:00:03",
      linkInfo: { kind: "macvlan", data: { mode: "bridge", bcQueueLength: 2000 } },
    });
  });

  it("survives decoding and encoding, with what we do not know", () => {
    expect(answer.unknownAttributes?.length).toBeGreaterThan(10);
    expect(linkMessage.decode(linkMessage.encode(answer))).toEqual(answer);
  });

  it("keeps a mode that has no name", () => {
    const bytes = linkMessage.encode({ linkInfo: { kind: "macvlan", data: { mode: 77 } } });
    expect(linkMessage.decode(bytes).linkInfo).toEqual({ kind: "macvlan", data: { mode: 77 } });
  });

  it("names a VLAN's number of one byte", () => {
    const wire = hex(
      "00000100 02000000 43110100 00000000  1c00 1280  0900 0100 766c616e 00 000000  0c00 0280 0500 0100 64 000000",
    );
    expect(() => linkMessage.decode(wire)).toThrow("Cannot decode IFLA_VLAN_ID: 1 bytes, expected 2");
  });
});
