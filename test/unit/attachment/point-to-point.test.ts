import { describe, expect, it } from "vitest";
import { readAddressing } from "../../../src/attachment/addressing.ts";
import { NoGatewayError, planPointToPoint } from "../../../src/attachment/point-to-point.ts";
import type { IpConfig, Route } from "../../../src/cni/result.ts";
import { formatRoute } from "../../../src/link/routes.ts";

function plan(ips: IpConfig[], routes: Route[] = []) {
  const made = planPointToPoint(readAddressing({ ips, routes }));
  return { addresses: made.addresses.map(String), routes: made.routes.map(formatRoute), gateways: made.gateways.map(String) };
}

const v4 = { address: "10.1.0.2/24", gateway: "10.1.0.1" };
const v6 = { address: "fd00:1::2/64", gateway: "fd00:1::1" };

describe("planPointToPoint", () => {
  it("puts the gateway on the link and the network behind it, with the address for source, before IPAM's routes", () => {
    expect(plan([v4, v6], [{ dst: "0.0.0.0/0" }, { dst: "::/0", gw: "fd00:1::1", priority: 7 }])).toEqual({
      addresses: ["10.1.0.2/24", "fd00:1::2/64"],
      routes: [
        "10.1.0.1/32 scope 253 src 10.1.0.2",
        "fd00:1::1/128 src fd00:1::2",
        "10.1.0.0/24 via 10.1.0.1 src 10.1.0.2",
        "fd00:1::/64 via fd00:1::1 src fd00:1::2",
        "default via 10.1.0.1",
        "default via fd00:1::1 metric 7",
      ],
      gateways: ["10.1.0.1/32", "fd00:1::1/128"],
    });
  });

  it("says once what several addresses of a network have in common", () => {
    const { routes, gateways } = plan([v4, { ...v4, address: "10.1.0.3/24" }, { ...v4, address: "10.1.1.2/24" }]);
    expect(gateways).toEqual(["10.1.0.1/32"]);
    expect(routes).toEqual([
      "10.1.0.1/32 scope 253 src 10.1.0.2",
      "10.1.0.0/24 via 10.1.0.1 src 10.1.0.2",
      "10.1.1.0/24 via 10.1.0.1 src 10.1.1.2",
    ]);
  });

  it("has no network to lead into for an address that stands alone", () => {
    expect(plan([{ address: "10.1.0.2/32", gateway: "169.254.1.1" }], [{ dst: "0.0.0.0/0" }]).routes).toEqual([
      "169.254.1.1/32 scope 253 src 10.1.0.2",
      "default via 169.254.1.1",
    ]);
  });

  it("leaves to IPAM what IPAM says, and puts first what is on the link", () => {
    const routes = [
      { dst: "10.1.0.0/24", mtu: 1400 },
      { dst: "10.1.0.1/32", scope: 253 },
      { dst: "10.1.0.0/16", table: 99 },
    ];
    expect(plan([v4], routes).routes).toEqual([
      "10.1.0.1/32 scope 253",
      "10.1.0.0/24 via 10.1.0.1 mtu 1400",
      "10.1.0.0/16 via 10.1.0.1 table 99",
    ]);
    expect(plan([v4], [{ dst: "10.1.0.0/24", table: 99 }]).routes).toContain("10.1.0.0/24 via 10.1.0.1 src 10.1.0.2");
  });

  it.each<[title: string, ip: IpConfig, words: string]>([
    ["none", { address: "10.1.0.2/24" }, "no gateway for 10.1.0.2/24"],
    ["one of the other family", { address: "10.1.0.2/24", gateway: "fd00::1" }, "gateway fd00::1 for 10.1.0.2/24"],
    ["itself", { address: "fd00::1/64", gateway: "fd00::1" }, "fd00::1/64 with itself for gateway"],
  ])("refuses an address whose gateway is %s", (_title, ip, words) => {
    expect(() => plan([v4, ip])).toThrow(NoGatewayError);
    expect(() => plan([v4, ip])).toThrow(words);
  });
});
