import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { ChainBench, type ChainNetwork, everywhere, hostLocal } from "../support/chain-bench.ts";
import { needs, supports } from "../support/kernel-features.ts";
import { output, type Sandbox } from "../support/node.ts";
import { SILENCE_MS } from "../support/port-bench.ts";
import { makeUplink, UPLINK } from "../support/uplink.ts";

// Chains that people run whose first link stands upon one of the node: each plugin does its part, none disturbs another's.

const bench = new ChainBench();

describe.skipIf(!supports("vlan"))(`vlan + static + sbr${needs("vlan")}`, () => {
  const network: ChainNetwork = {
    name: "tagged",
    plugins: [
      {
        type: "vlan",
        master: UPLINK,
        vlanId: 52,
        ipam: {
          type: "static",
          addresses: [
            { address: "10.92.0.10/24", gateway: "10.92.0.1" },
            { address: "fd00:92::10/64", gateway: "fd00:92::1" },
          ],
          routes: everywhere,
        },
      },
      { type: "sbr" },
    ],
  };

  /** A machine at the other end of the uplink, with one foot in the VLAN and an address that is on no wire. */
  function makePeer(): Sandbox {
    const peer = makeUplink();
    peer.ip("link", "add", "link", "eth0", "name", "tagged", "type", "vlan", "id", "52");
    peer.ip("link", "set", "tagged", "up");
    peer.ip("address", "add", "10.92.0.1/24", "dev", "tagged");
    peer.ip("address", "add", "fd00:92::1/64", "dev", "tagged", "nodad");
    peer.ip("address", "add", "198.51.100.1/32", "dev", "lo");
    return peer;
  }

  it("answers from its VLAN by the address it was asked at, near and far", () => {
    const peer = makePeer();
    const joined = bench.join(network);
    bench.check(joined);
    for (const address of [joined.v4, joined.v6]) expect(peer.ping(address)).toBe(true);
    expect(peer.run(() => spawnSync("ping", ["-c", "1", "-W", "2", "-I", "198.51.100.1", joined.v4])).status).toBe(0);
    const { sandbox } = joined;
    expect(sandbox.run(() => spawnSync("ping", ["-c", "1", "-W", "2", "-I", joined.v4, "198.51.100.1"])).status).toBe(0);
    expect(sandbox.ip("rule", "show")).toContain(`from ${joined.v4} lookup`);
    expect(peer.run(() => output("ip", "neighbour", "show", joined.v4))).toContain("dev tagged");
  });

  it("leaves nothing, however the container goes away, also without the uplink", () => {
    makePeer();
    bench.expectNoTrace(network, () => bench.join(network), { inside: true });
    const joined = bench.join(network);
    output("ip", "link", "del", UPLINK);
    bench.leave(joined);
    expect(joined.sandbox.ipJson("link", "show")).toHaveLength(1);
  });
});

describe.skipIf(!supports("bridge-vlans"))(`bridge with VLANs + tuning${needs("bridge-vlans")}`, () => {
  const inVlan = (vlan: number, subnets: readonly string[]): ChainNetwork => ({
    name: `vlan${vlan}`,
    plugins: [
      { type: "bridge", bridge: "br1", vlan, ipam: hostLocal(...subnets) },
      { type: "tuning", mtu: 1400, sysctl: { "net.core.somaxconn": "500" }, capabilities: { mac: true } },
    ],
  });
  const blue = inVlan(100, ["10.91.0.0/24", "fd00:91::/64"]);
  const red = inVlan(200, ["10.91.0.0/24", "fd00:91::/64"]); // the same addresses, but it is another wire

  it("joins those of one VLAN and keeps the others apart, tuned", () => {
    const mac = "02:00:00:00:00:99";
    const [one, two] = [bench.join(blue), bench.join(blue, { capabilities: { mac } })];
    const [same, other] = [bench.join(red), bench.join(red)];
    const lonely = bench.join(red); // whose address nobody has in the blue one
    for (const joined of [one, two, same, other, lonely]) bench.check(joined);
    expect([same.v4, other.v4]).toEqual([one.v4, two.v4]);
    for (const address of [two.v4, two.v6]) expect(one.sandbox.ping(address)).toBe(true);
    for (const address of [other.v4, lonely.v4, lonely.v6]) expect(same.sandbox.ping(address)).toBe(true);
    for (const address of [lonely.v4, lonely.v6]) expect(one.sandbox.ping(address, { timeoutMs: SILENCE_MS })).toBe(false);
    expect(two.sandbox.ipJson("link", "show", "dev", "eth0")).toMatchObject([{ address: mac, mtu: 1400 }]);
    expect(one.sandbox.run(() => output("cat", "/proc/sys/net/core/somaxconn")).trim()).toBe("500");
    bench.leave(other);
    for (const joined of [one, two, same]) bench.check(joined);
    expect(one.sandbox.ping(two.v4)).toBe(true);
  });

  it("leaves nothing, however the container goes away", () => bench.expectNoTrace(blue, () => bench.join(blue)));
});

describe.skipIf(!supports("ipvlan"))(`ipvlan behind another plugin${needs("ipvlan")}`, () => {
  const network: ChainNetwork = {
    name: "upon",
    plugins: [
      { type: "ipvlan", mode: "l2" },
      { type: "tuning", sysctl: { "net.core.somaxconn": "500" } },
    ],
  };
  /** The plugin before has prepared the link and found addresses. */
  const previous = {
    interfaces: [{ name: UPLINK }],
    ips: [
      { address: "10.91.0.77/24", gateway: "10.91.0.1", interface: 0 },
      { address: "fd00:91::77/64", gateway: "fd00:91::1", interface: 0 },
    ],
    routes: everywhere,
  };

  it("stands upon that one's interface and has that one's addresses", () => {
    const peer = makeUplink();
    const joined = bench.join(network, { previous });
    bench.check(joined);
    expect([joined.v4, joined.v6]).toEqual(["10.91.0.77", "fd00:91::77"]);
    expect(joined.result.interfaces).toMatchObject([{ name: "eth0", sandbox: joined.sandbox.path }]);
    for (const address of [joined.v4, joined.v6]) expect(peer.ping(address)).toBe(true);
    for (const gateway of ["10.91.0.1", "fd00:91::1"]) expect(joined.sandbox.ping(gateway)).toBe(true);
    expect(joined.sandbox.run(() => output("cat", "/proc/sys/net/core/somaxconn")).trim()).toBe("500");
  });

  it("has addresses of a plugin that makes no interface, upon the link that it names", () => {
    const peer = makeUplink();
    const leased: ChainNetwork = {
      name: "leased",
      plugins: [
        { type: "host-local", ipam: hostLocal("10.91.0.0/24", "fd00:91::/64") },
        { type: "ipvlan", master: UPLINK },
      ],
    };
    const attach = () => bench.join(leased);
    for (const address of [attach()].flatMap(({ v4, v6 }) => [v4, v6])) expect(peer.ping(address)).toBe(true);
    bench.collect(leased);
    bench.expectNoTrace(leased, attach, { inside: true });
  });

  it("leaves nothing, however the container goes away, also without the link below", () => {
    makeUplink();
    bench.expectNoTrace(network, () => bench.join(network, { previous }), { inside: true });
    const joined = bench.join(network, { previous });
    output("ip", "link", "del", UPLINK);
    bench.leave(joined);
    expect(joined.sandbox.ipJson("link", "show")).toHaveLength(1);
  });
});
