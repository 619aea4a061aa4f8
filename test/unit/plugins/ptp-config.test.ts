import { describe, expect, it } from "vitest";
import { resolvePtp } from "../../../src/plugins/ptp-config.ts";

type Keys = Parameters<typeof resolvePtp>[0];
const ipam = { type: "host-local" };

function resolve(keys: Keys, { command = "ADD", args = new Map<string, string>() } = {}) {
  return resolvePtp({ ipam, ...keys }, { command, cniVersion: "1.0.0", args });
}

describe("resolvePtp", () => {
  it("has the reference's defaults", () => {
    expect(resolve({})).toEqual({
      mtu: 0,
      detectDuplicates: false,
      masquerade: false,
      notMasqueraded: [],
      mac: undefined,
      ipamType: "host-local",
      dns: undefined,
    });
  });

  it.each(["ADD", "CHECK", "STATUS"])("refuses a masquerading backend that there is not, says %s", (command) => {
    expect(() => resolve({ ipMasqBackend: "firewalld" }, { command })).toThrow(
      expect.objectContaining({ code: 7, message: expect.stringContaining('unknown ipmasq backend "firewalld"') }),
    );
  });

  it.each(["ADD", "CHECK", "STATUS"])("cannot do without IPAM, says %s", (command) => {
    for (const keys of [{ ipam: undefined }, { ipam: { type: "" } }, { ipam: {} }] as Keys[]) {
      expect(() => resolve(keys, { command })).toThrow(expect.objectContaining({ code: 7 }));
    }
  });

  it.each(["DEL", "GC"])("lets %s clear away without any of that", (command) => {
    expect(resolve({ ipMasqBackend: "firewalld", ipam: { type: "" } }, { command }).ipamType).toBeUndefined();
  });

  it("takes the MAC from the runtime before the configuration's args before CNI_ARGS", () => {
    const args = new Map([["MAC", "02:00:00:00:00:01"]]);
    const inArgs = { args: { cni: { mac: "02-00-00-00-00-02" } } };
    expect(resolve({}, { args }).mac).toBe("02:00:00:00:00:01");
    expect(resolve(inArgs, { args }).mac).toBe("02:00:00:00:00:02");
    expect(resolve({ ...inArgs, runtimeConfig: { mac: "02:00:00:00:00:0A" } }, { args }).mac).toBe("02:00:00:00:00:0a");
  });

  it("takes dns for said where it says anything", () => {
    expect(resolve({ dns: {} }).dns).toBeUndefined();
    expect(resolve({ dns: { domain: "" } }).dns).toBeUndefined();
    expect(resolve({ dns: { nameservers: [] } }).dns).toEqual({ nameservers: [] });
  });
});
