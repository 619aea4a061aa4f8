import { describe, expect, it } from "vitest";
import { Address } from "../../../src/ip/address.ts";
import { resolveSbr } from "../../../src/plugins/sbr-config.ts";
import { vrf } from "../../../src/plugins/vrf.ts";

const context = (command: string) => ({ command, cniVersion: "1.0.0", args: new Map() }) as const;

describe("sbr", () => {
  it("has a gateway for each family at most", () => {
    const { gateways } = resolveSbr({ gateways: ["fd00::1", "10.1.2.1"] }, context("ADD"));
    expect(gateways).toEqual({ 4: Address.parse("10.1.2.1"), 6: Address.parse("fd00::1") });
    for (const command of ["ADD", "CHECK", "STATUS"]) {
      expect(() => resolveSbr({ gateways: ["10.1.2.1", "10.1.2.2"] }, context(command))).toThrow(
        expect.objectContaining({ code: 7, message: "gateways list cannot contain more than 2 entries (one IPv4, one IPv6)" }),
      );
    }
  });

  it.each(["DEL", "GC"])("is not kept by them from clearing away (%s)", (command) => {
    expect(resolveSbr({ table: 5, gateways: ["10.1.2.1", "10.1.2.2"] }, context(command))).toMatchObject({
      table: 5,
      gateways: {},
    });
  });
});

describe("vrf", () => {
  it.each([{}, { vrfname: "" }, { vrfname: "a b" }, { vrfname: "much-too-long-name" }])("needs a name: %j", (keys) => {
    expect(() => vrf.resolve(keys, context("ADD"))).toThrow(
      expect.objectContaining({ code: 7, message: "configuration is expected to have a valid vrf name" }),
    );
    expect(vrf.resolve(keys, context("DEL"))).toMatchObject({ table: undefined });
  });

  it.each([253, 254, 255])("does not take table %i, which is the kernel's own", (table) => {
    expect(() => vrf.resolve({ vrfname: "red", table }, context("ADD"))).toThrow(expect.objectContaining({ code: 7 }));
    expect(vrf.resolve({ vrfname: "red", table }, context("DEL"))).toEqual({ vrfname: "red", table });
  });

  it("takes table 0 for none, as the reference does", () => {
    expect(vrf.resolve({ vrfname: "red", table: 0 }, context("ADD"))).toEqual({ vrfname: "red", table: undefined });
  });
});
