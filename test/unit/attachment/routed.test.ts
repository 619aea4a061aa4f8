import { describe, expect, it } from "vitest";
import { toRouted } from "../../../src/attachment/routed.ts";

describe("toRouted", () => {
  it("lets each address stand alone, with its gateway on the link", () => {
    const result = {
      ips: [
        { address: "10.244.1.5/24", gateway: "10.244.1.1" },
        { address: "fd00:10::5/64", gateway: "fd00:10::1" },
      ],
      routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0", gw: "fd00:10::1" }],
      dns: { nameservers: ["10.96.0.10"] },
    };
    expect(toRouted(result)).toEqual({
      ips: [
        { address: "10.244.1.5/32", gateway: "10.244.1.1" },
        { address: "fd00:10::5/128", gateway: "fd00:10::1" },
      ],
      routes: [
        { dst: "10.244.1.1/32", scope: 253 },
        { dst: "fd00:10::1/128", scope: 253 },
        { dst: "0.0.0.0/0" },
        { dst: "::/0", gw: "fd00:10::1" },
      ],
      dns: { nameservers: ["10.96.0.10"] },
    });
  });

  it("leads into the network through the gateway where no default route does", () => {
    const { routes } = toRouted({ ips: [{ address: "10.244.1.5/24", gateway: "10.244.1.1" }], routes: [{ dst: "::/0" }] });
    expect(routes).toEqual([{ dst: "10.244.1.1/32", scope: 253 }, { dst: "10.244.1.0/24", gw: "10.244.1.1" }, { dst: "::/0" }]);
  });

  it("names a gateway of several addresses once, and leaves an address without gateway to itself", () => {
    const { ips, routes } = toRouted({
      ips: [
        { address: "10.1.0.2/24", gateway: "10.1.0.1" },
        { address: "10.1.0.3/24", gateway: "10.1.0.1" },
        { address: "10.9.0.2/24" },
      ],
      routes: [{ dst: "0.0.0.0/0" }],
    });
    expect(ips?.map(({ address }) => address)).toEqual(["10.1.0.2/32", "10.1.0.3/32", "10.9.0.2/32"]);
    expect(routes).toEqual([{ dst: "10.1.0.1/32", scope: 253 }, { dst: "0.0.0.0/0" }]);
  });
});
