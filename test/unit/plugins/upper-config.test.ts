import { describe, expect, it } from "vitest";
import type { Plugin } from "../../../src/cni/plugin.ts";
import { dummy } from "../../../src/plugins/dummy.ts";
import { ipvlan } from "../../../src/plugins/ipvlan.ts";
import { macvlan } from "../../../src/plugins/macvlan.ts";
import { vlan } from "../../../src/plugins/vlan.ts";

const ipam = { type: "host-local" };

function resolve(plugin: Plugin, keys: object, options: { command?: string; cniVersion?: "0.2.0" | "1.1.0"; mac?: string } = {}) {
  const { command = "ADD", cniVersion = "1.1.0", mac } = options;
  return plugin.resolve(keys, { command, cniVersion, args: new Map(mac === undefined ? [] : [["MAC", mac]]) });
}

const refused = (words: string) => expect.objectContaining({ code: 7, message: expect.stringContaining(words) });

describe.each([macvlan, ipvlan, vlan])("$type", (plugin) => {
  it("has defaults for all but what it stands upon", () => {
    expect(resolve(plugin, { master: "eth1" })).toMatchObject({
      master: "eth1",
      linkInContainer: false,
      mtu: 0,
      detectDuplicates: false,
      ipamType: undefined,
      dns: undefined,
    });
  });

  it("takes an empty IPAM type for none, and DNS settings that say nothing for none", () => {
    const config = resolve(plugin, { master: "eth1", ipam: { type: "" }, dns: { domain: "" } });
    expect(config).toMatchObject({ ipamType: undefined, dns: undefined });
    expect(resolve(plugin, { master: "eth1", ipam, dns: { search: [] } })).toMatchObject({ dns: { search: [] } });
  });
});

describe("the mode", () => {
  it.each([
    [macvlan, "bridge", ["bridge", "private", "vepa", "passthru"]],
    [ipvlan, "l2", ["l2", "l3", "l3s"]],
  ] as const)("of $0.type is $1 unless it is one of $2", (plugin, first, modes) => {
    expect(resolve(plugin, {})).toMatchObject({ mode: first });
    expect(resolve(plugin, { mode: "" })).toMatchObject({ mode: first });
    for (const mode of modes) expect(resolve(plugin, { mode })).toMatchObject({ mode });
  });

  it.each([macvlan, ipvlan])("of $type is no other word, in no other spelling", (plugin) => {
    for (const mode of ["hub", "Bridge", "L2", "toString"]) {
      for (const command of ["ADD", "CHECK", "STATUS"]) {
        expect(() => resolve(plugin, { mode }, { command })).toThrow(refused(`unknown ${plugin.type} mode: "${mode}"`));
      }
      for (const command of ["DEL", "GC"]) expect(() => resolve(plugin, { mode }, { command })).not.toThrow();
    }
  });
});

describe("the MAC address of macvlan", () => {
  it("is the runtime's, else that of CNI_ARGS, else the configuration's", () => {
    const keys = { mac: "C2-00-00-00-00-01" };
    expect(resolve(macvlan, {})).toMatchObject({ mac: undefined });
    expect(resolve(macvlan, keys)).toMatchObject({ mac: "c2:00:00:00:00:01" });
    expect(resolve(macvlan, keys, { mac: "c2:00:00:00:00:02" })).toMatchObject({ mac: "c2:00:00:00:00:02" });
    const asked = { ...keys, runtimeConfig: { mac: "c200.0000.0003" } };
    expect(resolve(macvlan, asked, { mac: "c2:00:00:00:00:02" })).toMatchObject({ mac: "c2:00:00:00:00:03" });
  });
});

describe("what cannot do without", () => {
  it("a result of an old version: addresses", () => {
    for (const plugin of [macvlan, vlan]) {
      expect(() => resolve(plugin, { master: "eth1" }, { cniVersion: "0.2.0" })).toThrow(expect.objectContaining({ code: 7 }));
      expect(() => resolve(plugin, { master: "eth1", ipam }, { cniVersion: "0.2.0" })).not.toThrow();
    }
  });

  it("vlan: a master, except where it is not needed any more", () => {
    for (const command of ["ADD", "CHECK", "STATUS"]) {
      for (const master of [{}, { master: "" }]) {
        expect(() => resolve(vlan, { ...master, ipam }, { command })).toThrow(refused('"master" field is required'));
      }
    }
    for (const command of ["DEL", "GC"]) expect(() => resolve(vlan, {}, { command })).not.toThrow();
  });

  it("dummy: IPAM, except where it is not needed any more", () => {
    for (const command of ["ADD", "CHECK", "STATUS"]) {
      expect(() => resolve(dummy, {}, { command })).toThrow(refused("dummy interface requires an IPAM configuration"));
    }
    for (const command of ["DEL", "GC"]) expect(() => resolve(dummy, {}, { command })).not.toThrow();
  });
});
