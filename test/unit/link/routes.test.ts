import { describe, expect, it } from "vitest";
import { Address } from "../../../src/ip/address.ts";
import { Prefix } from "../../../src/ip/prefix.ts";
import { formatRoute, type LinkRoute } from "../../../src/link/routes.ts";

const rows: readonly { route: LinkRoute; text: string }[] = [
  { route: { dst: Prefix.parse("10.1.0.0/16") }, text: "10.1.0.0/16" },
  { route: { dst: Prefix.parse("0.0.0.0/0"), gateway: Address.parse("10.1.0.1") }, text: "default via 10.1.0.1" },
  { route: { dst: Prefix.parse("::/0"), gateway: Address.parse("fd00::1"), scope: 0, table: 254 }, text: "default via fd00::1" },
  {
    route: { dst: Prefix.parse("fd00::/8"), priority: 0, table: 1000, scope: 253, mtu: 1300, advmss: 1200 },
    text: "fd00::/8 metric 0 table 1000 scope 253 mtu 1300 advmss 1200",
  },
  {
    route: { dst: Prefix.parse("10.1.0.0/16"), gateway: Address.parse("10.1.0.1"), source: Address.parse("10.1.0.2") },
    text: "10.1.0.0/16 via 10.1.0.1 src 10.1.0.2",
  },
];

describe("formatRoute", () => {
  it.each(rows)("$text", ({ route, text }) => {
    expect(formatRoute(route)).toBe(text);
  });
});
