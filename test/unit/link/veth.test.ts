import { describe, expect, it } from "vitest";
import { parseMac } from "../../../src/ip/mac.ts";
import { randomMac } from "../../../src/link/veth.ts";

describe("randomMac", () => {
  it("is unicast, locally administered and never the same", () => {
    const macs = Array.from({ length: 1000 }, randomMac);
    for (const mac of macs) expect((parseMac(mac)[0] ?? 0) & 3).toBe(2);
    expect(new Set(macs).size).toBe(macs.length);
  });
});
