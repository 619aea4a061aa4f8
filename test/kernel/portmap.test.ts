import { writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { bridgeNetwork } from "../support/attach.ts";
import { DyingSteps } from "../support/call-plugin.ts";
import { output, type Sandbox } from "../support/node.ts";
import { makeOutside, type Outside } from "../support/outside.ts";
import { answerAs, elements, inside, node, PortBench, reach, SILENCE_MS, sysctl } from "../support/port-bench.ts";
import { ask, serve } from "../support/talk.ts";

// Ports of the node that lead to containers: who gets there, who does not, and whom the container sees.

const bench = new PortBench();
let outside: Outside;
beforeEach(() => {
  outside = makeOutside();
});

const bothProtocols = [{ hostPort: 8080 }, { hostPort: 8080, protocol: "UDP" }];

describe("a mapped port", () => {
  it("is reached from another host, which the container sees, in both families and over udp", async () => {
    const { sandbox, answer } = bench.map([...bothProtocols, { hostPort: 8081, containerPort: 81, protocol: "udp" }]);
    await answerAs("pod", sandbox);
    await serve(inside(sandbox), { protocol: "udp", address: "::", port: 81, name: "pod" });
    expect(reach(outside.sandbox, outside.node.v6, { port: 8081, protocol: "udp" })).toBe(`pod ${outside.v6}`);
    expect(reach(outside.sandbox, outside.node.v4)).toBe(`pod ${outside.v4}`);
    expect(reach(outside.sandbox, outside.node.v6)).toBe(`pod ${outside.v6}`);
    expect(reach(outside.sandbox, outside.node.v4, { protocol: "udp" })).toBe(`pod ${outside.v4}`);
    expect(reach(outside.sandbox, "10.91.0.1")).toBe(`pod ${outside.v4}`); // every address of the node
    expect(answer.steps.filter((step) => step.startsWith("nft ")).length).toBeLessThanOrEqual(2);
  });

  it("is reached by processes of the node at 127.0.0.1 and at each of its addresses", async () => {
    const { sandbox } = bench.map(bothProtocols);
    await answerAs("pod", sandbox);
    expect(reach(node, "127.0.0.1")).toBe("pod 10.91.0.1");
    expect(reach(node, "127.8.8.8")).toBe("pod 10.91.0.1");
    expect(reach(node, "127.0.0.1", { protocol: "udp" })).toBe("pod 10.91.0.1");
    expect(reach(node, outside.node.v4)).toBe(`pod ${outside.node.v4}`);
    expect(reach(node, "10.91.0.1")).toBe("pod 10.91.0.1");
    expect(reach(node, outside.node.v6)).toBe(`pod ${outside.node.v6}`);
    expect(reach(node, "fd00:91::1")).toBe("pod fd00:91::1");
  });

  it("does not work at [::1], which is said, and refused to clients at once", () => {
    const { answer } = bench.map(bothProtocols);
    expect(answer.stderr.match(/\[::1\]/g)).toHaveLength(1);
    const connect = `const s = require("node:net").connect({ host: "::1", port: 8080 });
      s.on("error", ({ code }) => console.log(code)); setTimeout(() => process.exit(1), 5000).unref();`;
    expect(output(process.execPath, "-e", connect).trim()).toBe("ECONNREFUSED");
    expect(bench.map([{ hostPort: 8081, hostIP: "::1" }]).answer.stderr).toContain("[::1]:8081/tcp");
  });

  it("of a family that the container has no address of is not there, which is said", () => {
    const ipam = { type: "host-local", ranges: [[{ subnet: "10.91.0.0/24" }]] };
    const wanted = [
      { hostPort: 8081, hostIP: "::" },
      { hostPort: 8082, hostIP: "fd00:5::1" },
      { hostPort: 8083, hostIP: "0.0.0.0" },
    ];
    const [alone, beside] = [wanted.slice(0, 1), wanted].map(
      (mappings) => bench.map(mappings, { bridge: { ipam } }).answer.stderr,
    );
    expect(alone).toContain("host port 8081/tcp is not mapped: the container has no IPv6 address");
    expect(beside).toContain("host port [fd00:5::1]:8082/tcp is not mapped: the container has no IPv6 address");
    expect(beside).not.toContain("8083");
  });

  it.each(["0", "1"])(
    "is reached by the container itself and by its neighbours, with iptables for bridges: %s",
    async (calls) => {
      const { sandbox } = bench.map(bothProtocols, { bridge: { hairpinMode: true } });
      const neighbour = bench.attach(bridgeNetwork({ isDefaultGateway: true, hairpinMode: true }));
      for (const family of ["iptables", "ip6tables"]) writeFileSync(`/proc/sys/net/bridge/bridge-nf-call-${family}`, calls);
      await answerAs("pod", sandbox);
      for (const from of [sandbox, neighbour.sandbox]) {
        expect(reach(from, outside.node.v4)).toBe("pod 10.91.0.1");
        expect(reach(from, "10.91.0.1")).toBe("pod 10.91.0.1");
        expect(reach(from, outside.node.v4, { protocol: "udp" })).toBe("pod 10.91.0.1");
        expect(reach(from, outside.node.v6)).toBe("pod fd00:91::1");
      }
    },
  );

  it("takes nothing that is addressed to somebody else", async () => {
    const { sandbox } = bench.map(bothProtocols);
    const other = bench.attach(bridgeNetwork({ isDefaultGateway: true }));
    await answerAs("pod", sandbox);
    await answerAs("outside", outside.sandbox, 8080);
    await answerAs("other", other.sandbox, 8080);
    for (const protocol of ["tcp", "udp"] as const) {
      expect(reach(sandbox, outside.v4, { protocol })).toBe("outside 10.91.0.2");
      expect(reach(node, outside.v4, { protocol })).toBe(`outside ${outside.node.v4}`);
      expect(reach(outside.sandbox, other.v4, { protocol })).toBe(`other ${outside.v4}`);
    }
    expect(reach(node, outside.v6)).toMatch(/^outside/); // makes them neighbours
    expect(reach(sandbox, outside.v6)).toBe("outside fd00:91::2");
    expect(reach(outside.sandbox, other.v6)).toBe(`other ${outside.v6}`);
    expect(reach(other.sandbox, "10.91.0.2", { port: 80 })).toBe("pod 10.91.0.3"); // not translated, so not masqueraded either
  });

  it("of one address of the node is a port of no other", async () => {
    const { sandbox } = bench.map([
      { hostPort: 8080, hostIP: outside.node.v4 },
      { hostPort: 8080, hostIP: outside.node.v6 },
      { hostPort: 8081, hostIP: "127.0.0.1" },
      { hostPort: 8082, hostIP: "0.0.0.0" },
      { hostPort: 8083, hostIP: "::" },
    ]);
    await answerAs("pod", sandbox);
    expect(reach(outside.sandbox, outside.node.v4)).toBe(`pod ${outside.v4}`);
    expect(reach(outside.sandbox, outside.node.v6)).toBe(`pod ${outside.v6}`);
    expect(reach(outside.sandbox, "10.91.0.1")).toBeUndefined();
    expect(reach(node, "127.0.0.1")).toBeUndefined();
    expect(reach(node, "127.0.0.1", { port: 8081 })).toBe("pod 10.91.0.1");
    expect(reach(outside.sandbox, outside.node.v4, { port: 8081 })).toBeUndefined();
    expect(reach(outside.sandbox, outside.node.v4, { port: 8082 })).toBe(`pod ${outside.v4}`);
    expect(reach(outside.sandbox, outside.node.v6, { port: 8082 })).toBeUndefined();
    expect(reach(outside.sandbox, outside.node.v6, { port: 8083 })).toBe(`pod ${outside.v6}`);
    expect(reach(outside.sandbox, outside.node.v4, { port: 8083 })).toBeUndefined();
  });

  it("leads from one address elsewhere than from all others, if both are the container's", async () => {
    const { sandbox } = bench.map([{ hostPort: 8080 }, { hostPort: 8080, containerPort: 81, hostIP: outside.node.v4 }]);
    await answerAs("pod", sandbox);
    await answerAs("special", sandbox, 81);
    expect(reach(outside.sandbox, outside.node.v4)).toBe(`special ${outside.v4}`);
    expect(reach(outside.sandbox, outside.node.v6)).toBe(`pod ${outside.v6}`);
    expect(reach(node, "127.0.0.1")).toBe("pod 10.91.0.1");
  });

  it("is asked for as Go's runtimes write it", async () => {
    const portMappings = [
      { HostPort: 8080, ContainerPort: 80, Protocol: "tcp", HostIP: "" },
      { HostPort: 8080, ContainerPort: 80, Protocol: "tcp", HostIP: "" },
      { HostPort: 0, ContainerPort: 443, Protocol: "tcp", HostIP: "" },
    ];
    const { sandbox } = bench.map([], { portmap: { runtimeConfig: { portMappings } } });
    await answerAs("pod", sandbox);
    expect(reach(outside.sandbox, outside.node.v4)).toBe(`pod ${outside.v4}`);
    expect(elements("hostport4").match(/tcp \. 8080/g)).toHaveLength(1);
  });

  it("is gone with DEL, for those who talked through it too", async () => {
    const mapped = bench.map(bothProtocols);
    await answerAs("pod", mapped.sandbox);
    const endpoint = { protocol: "udp", address: outside.node.v4, port: 8080, sourcePort: 5000 } as const;
    expect(ask(inside(outside.sandbox), endpoint)).toBe(`pod ${outside.v4}`);
    bench.unmap(mapped);
    expect(ask(inside(outside.sandbox), { ...endpoint, patienceMs: SILENCE_MS })).toBeUndefined();
    expect(output("conntrack", "-L", "-p", "udp", "--orig-port-dst", "8080", "--reply-src", mapped.v4).trim()).toBe("");
    expect(reach(node, "127.0.0.1")).toBeUndefined();
    expect(elements("hostport4")).not.toContain("elements");
    bench.unmap(mapped);
  });

  it("is gone so for udp clients even where somebody flushed the ruleset: the call knows what was mapped", async () => {
    const mapped = bench.map(bothProtocols);
    await answerAs("pod", mapped.sandbox);
    const endpoint = { protocol: "udp", address: outside.node.v4, port: 8080, sourcePort: 5000 } as const;
    expect(ask(inside(outside.sandbox), endpoint)).toBe(`pod ${outside.v4}`);
    const connections = () => output("conntrack", "-L", "-p", "udp", "--orig-port-dst", "8080");
    output("nft", "flush", "ruleset");
    expect(connections()).toContain(`src=${mapped.v4}`);
    bench.unmap(mapped);
    expect(connections()).toBe("");
  });

  it.each([true, false])("is gone so after a DEL that was killed, whatever it had done, with snat: %s", (snat) => {
    const connections = () => output("conntrack", "-L", "-p", "udp", "--orig-port-dst", "8080");
    let isDone = false;
    for (let changes = 0; !isDone; changes++) {
      const mapped = bench.map(bothProtocols, { portmap: { snat } });
      const reply = ["-r", mapped.v4, "-q", outside.v4, "--reply-port-src", "80", "--reply-port-dst", "5000"];
      const request = ["-s", outside.v4, "-d", outside.node.v4, "--sport", "5000", "--dport", "8080"];
      output("conntrack", "-I", "-p", "udp", "-t", "600", ...request, ...reply);
      const killed = bench.caller.call({ ...mapped.portmap, command: "DEL", steps: new DyingSteps(changes) });
      isDone = !killed.stderr.includes("killed") && killed.exitCode === 0;
      const { prevResult: _unknown, runtimeConfig: _neither, ...config } = mapped.portmap.config;
      bench.unmap({ portmap: { ...mapped.portmap, config } });
      expect(connections(), `after ${changes} changes`).toBe("");
      expect(elements("hostport_owners")).not.toContain("elements");
      expect(sysctl("net/ipv4/conf/br1/route_localnet")).toBe("0");
      bench.detach(mapped);
    }
  });

  it("is found by a udp client that sent before the container was there", async () => {
    await serve(node, { protocol: "udp", address: "0.0.0.0", port: 8080, name: "node" });
    const endpoint = { protocol: "udp", address: outside.node.v4, port: 8080, sourcePort: 5000 } as const;
    bench.map([{ hostPort: 8081 }]); // without a rule that asks for it, the kernel does not track connections
    expect(ask(inside(outside.sandbox), endpoint)).toBe(`node ${outside.v4}`);
    const { sandbox, answer } = bench.map(bothProtocols);
    expect(answer.steps.at(-1)).toContain(`conntrack -D -f ipv4 -p udp --orig-port-dst 8080 --orig-dst ${outside.node.v4}`);
    await answerAs("pod", sandbox);
    expect(ask(inside(outside.sandbox), endpoint)).toBe(`pod ${outside.v4}`);
  });
});

describe("connections that only pass through the node", () => {
  it.each(["tcp", "udp"] as const)("stay as they are, though their port has that number: %s", async (protocol) => {
    const service = bench.map([{ hostPort: 9999 }]);
    await answerAs("service", service.sandbox);
    output("nft", "add table ip kube; add chain ip kube services { type nat hook prerouting priority -100; }");
    output("nft", `add rule ip kube services ip daddr 10.96.0.10 ${protocol} dport 8080 dnat to ${service.v4}:80`);
    expect(reach(outside.sandbox, "10.96.0.10", { protocol })).toBe(`service ${outside.v4}`);
    const { answer } = bench.map([{ hostPort: 8080, protocol }]);
    expect(answer.steps.filter((step) => step.startsWith("conntrack"))).toEqual([]);
    expect(output("conntrack", "-L", "-p", protocol, "--orig-dst", "10.96.0.10")).toContain("dport=8080");
    expect(bench.unmap(service).steps.filter((step) => step.startsWith("conntrack"))).toEqual([]);
  });
});

describe("the node's own 127.0.0.1", () => {
  /** Makes a namespace send packets for 127.0.0.1 to a neighbour, and take answers from there. */
  function aimAtLoopback(sandbox: Sandbox, gateway: string): void {
    sandbox.ip("address", "flush", "dev", "lo");
    sandbox.ip("route", "add", "127.0.0.1", "via", gateway);
    sandbox.run(() => writeFileSync("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1"));
  }

  it("is open to no container and no neighbour, though their answers to local clients arrive", async () => {
    const { sandbox } = bench.map(bothProtocols);
    await answerAs("pod", sandbox);
    for (const protocol of ["tcp", "udp"] as const) {
      await serve(node, { protocol, address: "127.0.0.1", port: 9000, name: "secret" });
    }
    aimAtLoopback(sandbox, "10.91.0.1");
    aimAtLoopback(outside.sandbox, outside.node.v4);
    writeFileSync("/proc/sys/net/ipv4/conf/all/route_localnet", "1"); // as kube-proxy leaves it
    writeFileSync("/proc/sys/net/ipv4/conf/all/rp_filter", "0");
    writeFileSync("/proc/sys/net/ipv4/conf/uplink/rp_filter", "0");
    const intruders = [sandbox, outside.sandbox];
    const attempts = (options: { silent?: true } = {}) =>
      intruders.flatMap((from) =>
        (["tcp", "udp"] as const).map((protocol) => reach(from, "127.0.0.1", { port: 9000, protocol, ...options })),
      );
    expect(reach(node, "127.0.0.1")).toBe("pod 10.91.0.1");
    expect(attempts({ silent: true })).toEqual([undefined, undefined, undefined, undefined]);
    output("nft", "flush", "chain", "inet", "podlink", "loopback_guard");
    expect(attempts()).toEqual(["secret 10.91.0.2", "secret 10.91.0.2", `secret ${outside.v4}`, `secret ${outside.v4}`]); // so the packets were right, and it was the guard that stopped them
  });

  it("takes no packet that says it comes from there", async () => {
    const { sandbox } = bench.map(bothProtocols);
    await serve(node, { protocol: "udp", address: "10.91.0.1", port: 9000, name: "node" });
    sandbox.ip("link", "set", "lo", "up");
    expect(sandbox.ping("10.91.0.1")).toBe(true); // makes them neighbours
    sandbox.run(() => writeFileSync("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1"));
    const counted = () => output("nft", "list", "chain", "inet", "test", "input");
    output("nft", "add table inet test; add chain inet test input { type filter hook input priority 0; }");
    output("nft", "add rule inet test input iifname br1 ip saddr 127.0.0.0/8 udp dport 9000 counter");
    const send = `const s = require("node:dgram").createSocket("udp4");
      s.bind(0, "127.0.0.1", () => s.send("?", 9000, "10.91.0.1", () => s.close()));`;
    sandbox.run(() => output(process.execPath, "-e", send));
    expect(counted()).toContain("packets 0");
    writeFileSync("/proc/sys/net/ipv4/conf/br1/accept_local", "1"); // else the kernel takes none that has an address of the node
    sandbox.run(() => output(process.execPath, "-e", send));
    expect(counted()).toContain("packets 0");
    output("nft", "flush", "chain", "inet", "podlink", "loopback_guard");
    sandbox.run(() => output(process.execPath, "-e", send));
    expect(counted()).toContain("packets 1");
  });

  it("is let through on the container's link alone, and no longer than it is needed", () => {
    const key = (link: string) => sysctl(`net/ipv4/conf/${link}/route_localnet`);
    const [one, two] = [bench.map([{ hostPort: 8080 }]), bench.map([{ hostPort: 8081 }])];
    expect(one.answer.steps.indexOf("sysctl -w net/ipv4/conf/br1/route_localnet=1")).toBeGreaterThan(
      one.answer.steps.findIndex((step) => step.includes("loopback_guard")),
    );
    expect(["all", "uplink", "br1"].map(key)).toEqual(["0", "0", "1"]);
    bench.unmap(one);
    expect(key("br1")).toBe("1");
    expect(bench.unmap(two).steps).toContain("sysctl -w net/ipv4/conf/br1/route_localnet=0");
    expect(key("br1")).toBe("0");
    writeFileSync("/proc/sys/net/ipv4/conf/br1/route_localnet", "1");
    bench.unmap(bench.map([{ hostPort: 8080 }]));
    expect(key("br1")).toBe("1"); // somebody else's
  });

  it("is left alone by ports of other addresses, and where nothing is masqueraded", () => {
    bench.map([
      { hostPort: 8080, hostIP: outside.node.v4 },
      { hostPort: 8080, hostIP: "::" },
    ]);
    bench.map([{ hostPort: 8081 }], { portmap: { snat: false } });
    expect(sysctl("net/ipv4/conf/br1/route_localnet")).toBe("0");
  });
});

describe("masquerading", () => {
  it("snat: false leaves every client its address", async () => {
    const { sandbox } = bench.map(bothProtocols, { portmap: { snat: false } });
    await answerAs("pod", sandbox);
    expect(reach(outside.sandbox, outside.node.v4)).toBe(`pod ${outside.v4}`);
    expect(reach(node, outside.node.v4)).toBe(`pod ${outside.node.v4}`);
    expect(reach(sandbox, outside.node.v4, { silent: true })).toBeUndefined(); // it would have to answer itself
    expect(reach(node, "127.0.0.1", { silent: true })).toBeUndefined();
  });

  it("masqAll: true gives every client the node's", async () => {
    const all = bench.map(bothProtocols, { portmap: { masqAll: true } });
    const plain = bench.map([{ hostPort: 8081 }]);
    await answerAs("all", all.sandbox);
    await answerAs("plain", plain.sandbox);
    expect(reach(outside.sandbox, outside.node.v4)).toBe("all 10.91.0.1");
    expect(reach(outside.sandbox, outside.node.v6)).toBe("all fd00:91::1");
    expect(reach(node, "127.0.0.1")).toBe("all 10.91.0.1");
    expect(reach(outside.sandbox, outside.node.v4, { port: 8081 })).toBe(`plain ${outside.v4}`);
  });

  it("is changed by another ADD", async () => {
    const mapped = bench.map(bothProtocols);
    await answerAs("pod", mapped.sandbox);
    const config = { ...mapped.portmap.config, masqAll: true };
    bench.caller.add({ ...mapped.portmap, config });
    expect(reach(outside.sandbox, outside.node.v4)).toBe("pod 10.91.0.1");
    bench.caller.add(mapped.portmap);
    expect(reach(outside.sandbox, outside.node.v4)).toBe(`pod ${outside.v4}`);
  });
});
