import { beforeEach, describe, expect, it } from "vitest";
import { addPortVlans, deletePortVlans, listPortVlans } from "../../src/link/bridge-vlans.ts";
import { type BridgeWish, ensureBridge } from "../../src/link/bridges.ts";
import { ensureVlanGatewayLink } from "../../src/link/gateway.ts";
import { findLink, getLink } from "../../src/link/links.ts";
import { needs, supports } from "../support/kernel-features.ts";
import { ipJson, output } from "../support/node.ts";
import { addContainer, connectVeth, makePair, makeStage, type Stage } from "../support/stage.ts";

let stage: Stage;
beforeEach(() => {
  stage = makeStage();
});

const plain: BridgeWish = { name: "br7", mtu: 0, vlanFiltering: false, promiscuous: false };

const filters = supports("bridge-vlans");

describe("VLANs of a port, on any kernel", () => {
  it("are listed as far as the kernel has any", () => {
    const bridge = ensureBridge(stage.host, plain);
    const { outer } = connectVeth(addContainer(stage), "plport", { master: bridge });
    expect(listPortVlans(stage.host, outer)).toEqual(filters ? [{ id: 1, pvid: true, untagged: true }] : []);
  });

  it("are not asked for when there are none to change", () => {
    const port = makePair(stage.host, "va");
    addPortVlans(stage.host, port, []);
    deletePortVlans(stage.host, port, []);
    expect(stage.commands()).toEqual([]);
  });

  it("are refused on a link that is no port", () => {
    const link = makePair(stage.host, "va");
    expect(() => addPortVlans(stage.host, link, [{ id: 10, pvid: false, untagged: false }])).toThrow(
      /^RTM_SETLINK: .*\(EOPNOTSUPP\)/,
    );
  });

  it("name a gateway link that would be too long, before anything is made", () => {
    const bridge = ensureBridge(stage.host, { ...plain, name: "bridge-of-12" });
    const before = stage.commands();
    expect(() => ensureVlanGatewayLink(stage.host, bridge, { vlan: 4000, keepDefaultVlan: false })).toThrow(
      'Cannot name the gateway link of VLAN 4000 "bridge-of-12.4000": longer than 15 characters',
    );
    expect(stage.commands()).toEqual(before);
  });
});

describe.skipIf(!filters)(`VLAN filtering${needs("bridge-vlans")}`, () => {
  function vlansOf(name: string): unknown {
    return JSON.parse(output("bridge", "-j", "vlan", "show", "dev", name))[0]?.vlans;
  }

  function filteringBridge() {
    return ensureBridge(stage.host, { ...plain, vlanFiltering: true });
  }

  it("is switched on when the bridge is made", () => {
    expect(filteringBridge().vlanFiltering).toBe(true);
    expect(ipJson("link", "show", "dev", "br7")).toMatchObject([{ linkinfo: { info_data: { vlan_filtering: 1 } } }]);
  });

  it("adds, lists and deletes VLANs of a port, many in one request", () => {
    const { outer } = connectVeth(addContainer(stage), "plport", { master: filteringBridge() });
    expect(listPortVlans(stage.host, outer)).toEqual([{ id: 1, pvid: true, untagged: true }]);
    deletePortVlans(stage.host, outer, listPortVlans(stage.host, outer));
    expect(listPortVlans(stage.host, outer)).toEqual([]);
    const trunk = Array.from({ length: 200 }, (_, i) => ({ id: 100 + i, pvid: false, untagged: false }));
    addPortVlans(stage.host, outer, [{ id: 10, pvid: true, untagged: true }, ...trunk]);
    expect(listPortVlans(stage.host, outer)).toEqual([{ id: 10, pvid: true, untagged: true }, ...trunk]);
    expect(vlansOf("plport")).toContainEqual({ vlan: 10, flags: ["PVID", "Egress Untagged"] });
    deletePortVlans(stage.host, outer, trunk);
    expect(listPortVlans(stage.host, outer)).toEqual([{ id: 10, pvid: true, untagged: true }]);
  });

  it.each([true, false])("gives the host a link in one VLAN, once (default VLAN kept: %s)", (keepDefaultVlan) => {
    const bridge = filteringBridge();
    const link = ensureVlanGatewayLink(stage.host, bridge, { vlan: 100, keepDefaultVlan });
    expect(link).toMatchObject({ name: "br7.100", kind: "veth" });
    expect(ensureVlanGatewayLink(stage.host, bridge, { vlan: 100, keepDefaultVlan }).index).toBe(link.index);
    const peer = getLink(stage.host, link.peer ?? 0);
    expect(peer).toMatchObject({ master: bridge.index, up: true, alias: "podlink gateway of br7 in VLAN 100" });
    const ids = listPortVlans(stage.host, peer).map(({ id }) => id);
    expect(ids).toEqual(keepDefaultVlan ? [1, 100] : [100]);
    expect(listPortVlans(stage.host, peer)).toContainEqual({ id: 100, pvid: true, untagged: true });
  });

  it("makes anew the link of a VLAN that a call left half made", () => {
    const bridge = filteringBridge();
    output("ip", "link", "add", "br7.100", "type", "veth", "peer", "name", "leftover");
    const link = ensureVlanGatewayLink(stage.host, bridge, { vlan: 100, keepDefaultVlan: false });
    expect(findLink(stage.host, "leftover")).toBeUndefined();
    expect(getLink(stage.host, link.index).up).toBe(true);
  });
});
