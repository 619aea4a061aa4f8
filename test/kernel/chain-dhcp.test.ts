import { describe, expect, it, onTestFinished } from "vitest";
import { ChainBench, type ChainNetwork } from "../support/chain-bench.ts";
import { startDaemon, startDnsmasq } from "../support/dhcp-programs.ts";
import { needs, supports } from "../support/kernel-features.ts";
import { output, type Sandbox } from "../support/node.ts";
import { makeUplink, UPLINK } from "../support/uplink.ts";

// macvlan + dhcp: containers that the network's own server gives addresses, as it does to any machine on the wire.

const bench = new ChainBench();

const network: ChainNetwork = {
  name: "lan",
  plugins: [
    { type: "macvlan", master: UPLINK, ipam: { type: "dhcp" } },
    { type: "tuning", sysctl: { "net.core.somaxconn": "500" } },
  ],
};

/** A machine at the other end of the uplink, which is router and DHCP server there, and the daemon on the node. */
function arrange(): Sandbox {
  const peer = makeUplink();
  const server = peer.run(() => startDnsmasq("eth0", "10.91.0.50,10.91.0.99,120"));
  const daemon = startDaemon();
  onTestFinished(() => {
    daemon.kill();
    server.kill();
  });
  return peer;
}

describe.skipIf(!supports("macvlan"))(`macvlan + dhcp${needs("macvlan")}`, () => {
  it("leases an address, with which the container reaches the wire and its neighbours", () => {
    const peer = arrange();
    const [one, two] = [bench.join(network), bench.join(network)];
    for (const joined of [one, two]) {
      bench.check(joined);
      expect(joined.v4).toMatch(/^10\.91\.0\.[5-9]\d$/);
      expect(joined.result.ips).toMatchObject([{ gateway: "10.91.0.1", interface: 0 }]);
      expect(joined.sandbox.ping("10.91.0.1")).toBe(true);
      expect(peer.ping(joined.v4)).toBe(true);
      expect(joined.sandbox.ipJson("route", "show", "default")).toMatchObject([{ gateway: "10.91.0.1", dev: "eth0" }]);
    }
    expect(one.v4).not.toBe(two.v4);
    expect(one.sandbox.ping(two.v4)).toBe(true);
    expect(one.sandbox.run(() => output("cat", "/proc/sys/net/core/somaxconn")).trim()).toBe("500");
    bench.leave(one);
    bench.check(two);
    expect(two.sandbox.ping("10.91.0.1")).toBe(true);
  });

  it("leaves nothing, however the container goes away, also without the uplink", () => {
    arrange();
    bench.expectNoTrace(network, () => bench.join(network), { inside: true });
    const joined = bench.join(network);
    output("ip", "link", "del", UPLINK);
    bench.leave(joined);
    expect(joined.sandbox.ipJson("link", "show")).toHaveLength(1);
  });
});
