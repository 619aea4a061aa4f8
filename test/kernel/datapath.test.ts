import { describe, expect, it } from "vitest";
import { Bench, bridgeNetwork, l2Network, v4Network } from "../support/attach.ts";
import { FrameSocket } from "../support/frames.ts";
import { ipJson, output } from "../support/node.ts";

// What containers on a bridge can say to each other, in real packets. Each ping is one packet, never sent again: the first one counts.

const bench = new Bench();

/** How long to wait for what shall not come; what comes takes a thousandth of it. */
const SILENCE_MS = 300;

describe("two containers on a bridge", () => {
  it("reach each other and the node with the first packet after ADD, in both families", () => {
    const one = bench.attach(bridgeNetwork());
    expect(one.sandbox.ping("10.91.0.1")).toBe(true);
    const two = bench.attach(bridgeNetwork());
    expect(two.sandbox.ping(one.v6)).toBe(true);
    expect(two.sandbox.ping(one.v4)).toBe(true);
    expect(two.sandbox.ping("fd00:91::1")).toBe(true);
    expect(one.sandbox.ping(two.v4)).toBe(true);
    expect(one.sandbox.ping("fd00:91::1")).toBe(true);
  });

  it("answer the node", () => {
    const { v4, v6 } = bench.attach(bridgeNetwork());
    expect(output("ping", "-c", "1", "-W", "2", v4)).toContain("1 received");
    expect(output("ping", "-c", "1", "-W", "2", v6)).toContain("1 received");
  });

  it("have IPv6 addresses that are usable at once", () => {
    const { sandbox } = bench.attach(bridgeNetwork());
    const [link] = sandbox.ipJson<{ addr_info: { local: string; tentative?: boolean; nodad?: boolean }[] }>(
      "address",
      "show",
      "dev",
      "eth0",
    );
    const own = link?.addr_info.filter(({ local }) => local.startsWith("fd00:91::"));
    expect(own).toEqual([expect.objectContaining({ local: "fd00:91::2" })]);
    expect(own?.[0]).not.toHaveProperty("tentative");
  });

  it("reach another network of the node through the gateway", () => {
    const one = bench.attach(bridgeNetwork({ isDefaultGateway: true }));
    const ipam = { type: "host-local", ranges: [[{ subnet: "10.92.0.0/24" }], [{ subnet: "fd00:92::/64" }]] };
    const other = bench.attach(bridgeNetwork({ name: "net2", bridge: "br2", isDefaultGateway: true, ipam }));
    expect(one.sandbox.ping(other.v4)).toBe(true);
    expect(one.sandbox.ping(other.v6)).toBe(true);
  });

  it("stay connected while others come and go, and the bridge keeps its MAC", () => {
    const config = v4Network();
    const [first, ...others] = [bench.attach(config), bench.attach(config), bench.attach(config)];
    const mac = () => ipJson("link", "show", "dev", "br1")[0]?.address;
    const before = mac();
    for (const other of others) bench.detach(other);
    bench.attach(config);
    expect(first.sandbox.ping("10.91.0.1")).toBe(true);
    expect(mac()).toBe(before);
    bench.detach(first);
    expect(mac()).toBe(before);
  });
});

describe("an address that has changed hands", () => {
  it("is found at its new owner by neighbours that knew the old one", () => {
    const neighbour = bench.attach(bridgeNetwork());
    const known = { lladdr: "02:00:00:00:00:99", dev: "eth0" };
    for (const address of ["10.91.0.77", "fd00:91::77"]) {
      neighbour.sandbox.ip("neighbour", "replace", address, "lladdr", known.lladdr, "dev", known.dev, "nud", "reachable");
    }
    const runtimeConfig = { ips: ["10.91.0.77", "fd00:91::77"] };
    const { result } = bench.attach(bridgeNetwork({ runtimeConfig }));
    const { mac } = result.interfaces?.[2] ?? {};
    const entries = neighbour.sandbox.ipJson("neighbour", "show", "dev", "eth0");
    for (const dst of ["10.91.0.77", "fd00:91::77"]) {
      expect(entries).toContainEqual(expect.objectContaining({ dst, lladdr: mac }));
      expect(neighbour.sandbox.ping(dst)).toBe(true);
    }
  });

  it("is found by the node, too", () => {
    const first = bench.attach(v4Network());
    expect(first.sandbox.ping("10.91.0.1")).toBe(true);
    bench.detach(first);
    const second = bench.attach(v4Network({ runtimeConfig: { ips: [first.v4] } }));
    expect(second.v4).toBe(first.v4);
    expect(output("ping", "-c", "1", "-W", "2", first.v4)).toContain("1 received");
  });
});

describe("port modes", () => {
  it("isolated ports reach the node and ports that are not, but not each other", () => {
    const isolated = v4Network({ portIsolation: true });
    const [one, two, open] = [bench.attach(isolated), bench.attach(isolated), bench.attach(v4Network())];
    for (const { sandbox } of [one, two]) {
      expect(sandbox.ping("10.91.0.1")).toBe(true);
      expect(sandbox.ping(open.v4)).toBe(true);
    }
    expect(one.sandbox.ping(two.v4, { timeoutMs: SILENCE_MS })).toBe(false);
    expect(two.sandbox.ping(one.v4, { timeoutMs: SILENCE_MS })).toBe(false);
  });

  it("a frame comes back through a hairpin port, and through no other", () => {
    const plain = bench.attach(l2Network());
    const hairpin = bench.attach(l2Network({ hairpinMode: true }));
    const [sender, mirror] = [new FrameSocket(plain.sandbox, "eth0"), new FrameSocket(hairpin.sandbox, "eth0")];
    mirror.send("back to me");
    expect(mirror.receive(2000)).toBe("back to me");
    expect(sender.receive(2000)).toBe("back to me"); // it was for everybody
    sender.send("not to me");
    expect(mirror.receive(2000)).toBe("not to me");
    expect(sender.receive(SILENCE_MS)).toBeUndefined();
  });

  it("a container without addresses is a wire to the others", () => {
    const [one, two] = [bench.attach(l2Network()), bench.attach(l2Network())];
    const [left, right] = [new FrameSocket(one.sandbox, "eth0"), new FrameSocket(two.sandbox, "eth0")];
    left.send("first", { to: two.result.interfaces?.[2]?.mac ?? "" });
    expect(right.receive(2000)).toBe("first");
  });

  it("packets of the size of the MTU pass, larger ones do not fit", () => {
    const config = v4Network({ mtu: 1300 });
    const [one, two] = [bench.attach(config), bench.attach(config)];
    const ping = (size: number) =>
      one.sandbox.run(() => output("ping", "-M", "do", "-c", "1", "-W", "2", "-s", String(size - 28), two.v4));
    expect(ping(1300)).toContain("1 received");
    expect(() => ping(1301)).toThrow(/message too long|mtu/i);
  });
});
