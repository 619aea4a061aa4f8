import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  hostLinkName,
  isHostLinkName,
  linkAlias,
  networkLinkPrefix,
  networkShaperPrefix,
  shaperLinkName,
  vlanGatewayPeerName,
} from "../../../src/link/names.ts";

const demo = { network: "demo", containerId: "c1", ifname: "eth0" };
const word = fc.string({ minLength: 1, unit: fc.constantFrom(..."abcdefgh0123456789._-") });
const parts = fc.record({ network: word, containerId: word, ifname: word });

describe("names of host links", () => {
  it("are a contract: these never change", () => {
    expect(hostLinkName(demo)).toBe("pl6kvsk35jexygf");
    expect(networkLinkPrefix("demo")).toBe("pl6kvsk");
    expect(vlanGatewayPeerName("cni0", 100)).toBe("plgwbillr3ko");
  });

  it("fit a link and are known again", () => {
    fc.assert(
      fc.property(parts, (attachment) => {
        const name = hostLinkName(attachment);
        expect(name).toHaveLength(15);
        expect(isHostLinkName(name)).toBe(true);
        expect(name.startsWith(networkLinkPrefix(attachment.network))).toBe(true);
        expect(networkLinkPrefix(attachment.network)).toHaveLength(7);
      }),
    );
  });

  it("depend on each part, and on where one ends and the next begins", () => {
    const names = [
      demo,
      { ...demo, network: "demo2" },
      { ...demo, containerId: "c2" },
      { ...demo, ifname: "eth1" },
      { network: "demo", containerId: "c1e", ifname: "th0" },
      { network: "democ", containerId: "1", ifname: "eth0" },
    ].map(hostLinkName);
    expect(new Set(names).size).toBe(names.length);
  });

  it("spread: ten thousand containers of a network have as many names", () => {
    const names = Array.from({ length: 10_000 }, (_, i) => hostLinkName({ ...demo, containerId: `container-${i}` }));
    expect(new Set(names).size).toBe(names.length);
  });

  it.each(["eth0", "cni0", "veth12345678", "plab", "pl0000000000000", "podl1234567890a", "", "plgwabcdefgh"])(
    "%j is not one",
    (name) => {
      expect(isHostLinkName(name)).toBe(false);
    },
  );

  it("are not those of VLAN gateways", () => {
    expect(isHostLinkName(vlanGatewayPeerName("cni0", 1))).toBe(false);
    expect(vlanGatewayPeerName("cni0", 1)).not.toBe(vlanGatewayPeerName("cni0", 2));
    expect(vlanGatewayPeerName("cni0", 1)).not.toBe(vlanGatewayPeerName("cni1", 1));
  });
});

describe("names of links that shape traffic", () => {
  it("are a contract: these never change", () => {
    expect(shaperLinkName(demo)).toBe("plB6kvsk35jexyg");
    expect(networkShaperPrefix("demo")).toBe("plB6kvsk");
  });

  it("fit a link, begin as their network's, and are no host links'", () => {
    fc.assert(
      fc.property(parts, (attachment) => {
        const name = shaperLinkName(attachment);
        expect(name).toHaveLength(15);
        expect(name.startsWith(networkShaperPrefix(attachment.network))).toBe(true);
        expect(isHostLinkName(name)).toBe(false);
      }),
    );
  });

  it("spread: ten thousand interfaces of a network have as many names", () => {
    const names = Array.from({ length: 10_000 }, (_, i) =>
      shaperLinkName({ ...demo, containerId: `c${i >> 1}`, ifname: `eth${i % 2}` }),
    );
    expect(new Set(names).size).toBe(names.length);
  });
});

describe("aliases", () => {
  it("say whose link it is, and whether the ADD has done everything", () => {
    expect(linkAlias(demo, "adding")).toBe("podlink (adding) demo c1 eth0");
    expect(linkAlias(demo, "attached")).toBe("podlink demo c1 eth0");
  });

  it("fit the kernel's 255 bytes with their NUL", () => {
    const long = linkAlias({ ...demo, network: "n".repeat(300) }, "attached");
    expect(Buffer.byteLength(`${long}\0`)).toBeLessThanOrEqual(256);
    expect(linkAlias({ ...demo, network: "n".repeat(300) }, "adding")).not.toBe(long);
  });
});
