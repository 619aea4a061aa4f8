import { describe, expect, it } from "vitest";
import { findLink, getLink, toLink } from "../../../src/link/links.ts";
import { ADDING_GROUP } from "../../../src/link/names.ts";
import type { NetworkNamespace } from "../../../src/link/namespace.ts";
import { NetlinkConnection } from "../../../src/netlink/connection.ts";
import { linkMessage } from "../../../src/netlink/route/link.ts";
import { FakeKernel } from "../../support/fake-kernel.ts";
import { bodyOf, hex } from "../../support/hex.ts";

describe("findLink", () => {
  it.each(["x".repeat(16), "ü".repeat(8), "x".repeat(100_000), "lo\0x"])("finds none of a name that no link can have", (name) => {
    const kernel = new FakeKernel(() => expect.unreachable());
    const namespace = { netlink: new NetlinkConnection(kernel) } as unknown as NetworkNamespace;
    expect(findLink(namespace, name)).toBeUndefined();
    expect(() => getLink(namespace, name)).toThrow("not found");
  });
});

describe("toLink", () => {
  it("reads a bridge port", () => {
    expect(toLink(linkMessage.decode(bodyOf("links.hex", "bridge port")))).toEqual({
      name: "plk3d9x7f2mq4ta",
      index: 4,
      kind: "veth",
      mac: "c2:aa:00:00:00:01",
      mtu: 1400,
      up: true,
      promiscuous: false,
      allMulticast: false,
      txQueueLength: 1000,
      operState: 6,
      master: 2,
      peer: 2,
      alias: "podlink demo c1 eth0",
      port: expect.objectContaining({ state: 3, hairpin: true, isolated: true }),
      vlanFiltering: undefined,
      parent: undefined,
      group: 0,
      kindData: undefined,
    });
  });

  it("reads a macvlan, its parent in another namespace", () => {
    const link = toLink(linkMessage.decode(bodyOf("inside-links.hex", "macvlan of another namespace")));
    expect(link).toMatchObject({ kind: "macvlan", parent: { index: 3, netnsId: 0 }, group: 0, peer: undefined });
    expect(link.kindData).toMatchObject({ mode: "bridge", bcQueueLength: 2000 });
    const request = linkMessage.decode(bodyOf("inside-links.hex", "add vlan"));
    expect(toLink(request)).toMatchObject({
      parent: { index: 3, netnsId: undefined },
      group: ADDING_GROUP,
      kindData: { id: 100 },
    });
  });

  it("reads a bridge: promiscuous because it was told to be", () => {
    expect(toLink(linkMessage.decode(bodyOf("links.hex", "bridge")))).toMatchObject({
      name: "cni7",
      kind: "bridge",
      up: true,
      promiscuous: true,
      master: undefined,
      peer: undefined,
      port: undefined,
      vlanFiltering: false,
    });
  });

  it("reads a bridge that filters VLANs", () => {
    const { linkInfo } = linkMessage.decode(bodyOf("links.hex", "add bridge with VLAN filtering"));
    const bridge = linkMessage.decode(linkMessage.encode({ name: "cni8", ...(linkInfo === undefined ? {} : { linkInfo }) }));
    expect(toLink(bridge)).toMatchObject({ name: "cni8", kind: "bridge", vlanFiltering: true });
  });

  it("takes IFLA_LINK for a peer with veth only", () => {
    const message = linkMessage.decode(bodyOf("links.hex", "container end"));
    expect(toLink({ ...message, linkInfo: { kind: "macvlan" } }).peer).toBeUndefined();
    expect(toLink(message).peer).toBe(4);
  });

  it("reads a message without any attribute", () => {
    expect(toLink(linkMessage.decode(hex("00000100 07000000 00000000 00000000")))).toMatchObject({
      name: "",
      index: 7,
      kind: undefined,
      mac: "",
      mtu: 0,
      up: false,
      operState: 0,
    });
  });
});
