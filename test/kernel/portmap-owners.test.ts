import { writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { NetlinkSocket } from "../../src/sys/socket.ts";
import { DyingSteps } from "../support/call-plugin.ts";
import { makeSandbox, output } from "../support/node.ts";
import { makeOutside, type Outside } from "../support/outside.ts";
import { answerAs, asked, elements, type Mapping, node, PortBench, reach } from "../support/port-bench.ts";

// Whose a mapped port is, and what becomes of it when containers, networks and rulesets come and go.

const bench = new PortBench();
let outside: Outside;
beforeEach(() => {
  outside = makeOutside();
});

describe("a port that is taken", () => {
  const K8S = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web-0";

  it("is refused with the name of the one who has it", async () => {
    const { sandbox } = bench.map([{ hostPort: 8080 }], { args: K8S });
    const { code, msg } = bench.refused([{ hostPort: 9090 }, { hostPort: 8080 }]);
    expect(code).toBe(11);
    expect(msg).toBe(
      'Cannot map host port 8080/tcp: it is taken by container "cid-1" (pod "default/web-0", network "net1", interface "eth0")',
    );
    expect(elements("hostport4")).not.toContain("9090");
    await answerAs("pod", sandbox);
    expect(reach(outside.sandbox, outside.node.v4)).toBe(`pod ${outside.v4}`);
    bench.map([{ hostPort: 8080, protocol: "sctp" }]);
  });

  it("is taken for every address when it is for one, and the other way round", () => {
    bench.map([{ hostPort: 8080 }, { hostPort: 8081, hostIP: "192.0.2.1" }, { hostPort: 8082, hostIP: "0.0.0.0" }]);
    expect(bench.refused([{ hostPort: 8080, hostIP: "127.0.0.1" }])).toMatchObject({
      code: 11,
      msg: expect.stringContaining("host port 127.0.0.1:8080/tcp: it is taken as 8080/tcp by"),
    });
    expect(bench.refused([{ hostPort: 8081 }])).toMatchObject({
      code: 11,
      msg: expect.stringContaining("host port 8081/tcp: it is taken as 192.0.2.1:8081/tcp by"),
    });
    expect(bench.refused([{ hostPort: 8080, hostIP: "2001:db8::1" }]).code).toBe(11);
    bench.map([
      { hostPort: 8081, hostIP: "127.0.0.1" },
      { hostPort: 8082, hostIP: "::" },
    ]);
  });

  it("by a container whose interface is gone is taken over, which is said", async () => {
    const dead = bench.map([{ hostPort: 8080 }, { hostPort: 8081, hostIP: "192.0.2.1" }], { args: K8S });
    output("ip", "link", "del", dead.result.interfaces?.[1]?.name ?? "");
    const heir = bench.map([{ hostPort: 8080 }, { hostPort: 8081 }]);
    expect(heir.answer.stderr).toContain(
      'host port 8080/tcp is taken over from container "cid-1" (pod "default/web-0", network "net1", interface "eth0"), whose interface is gone',
    );
    expect(heir.answer.stderr).toContain("host port 192.0.2.1:8081/tcp is taken over from");
    await answerAs("heir", heir.sandbox);
    for (const port of [8080, 8081]) expect(reach(outside.sandbox, outside.node.v4, { port })).toBe(`heir ${outside.v4}`);
    bench.unmap(dead); // late
    for (const port of [8080, 8081]) expect(reach(outside.sandbox, outside.node.v4, { port })).toBe(`heir ${outside.v4}`);
    expect(bench.check(heir).exitCode).toBe(0);
    expect(bench.check(dead)).toMatchObject({ exitCode: 1, stdout: expect.stringContaining("cid-2") });
  });

  it("for one address by a container that is gone is taken over for that one and all others at once", () => {
    const one = { hostPort: 8081, hostIP: "192.0.2.1" };
    const dead = bench.map([one]);
    output("ip", "link", "del", dead.result.interfaces?.[1]?.name ?? "");
    const heir = bench.map([one, { hostPort: 8081 }]);
    expect(heir.answer.stderr.match(/is taken over from/g)).toHaveLength(1);
    expect(elements("hostport_addresses")).toContain("tcp . 8081");
    bench.unmap(heir);
    expect(elements("hostport_addresses")).not.toContain("8081");
  });

  it("by a container that another plugin attached is taken over only when that link is gone", () => {
    const first = bench.prepare([{ hostPort: 8080 }]);
    const port = first.result.interfaces?.[1]?.name ?? "";
    output("ip", "link", "set", port, "name", "veth1234abcd");
    const interfaces = (first.result.interfaces ?? []).map((link) =>
      link.name === port ? { ...link, name: "veth1234abcd" } : link,
    );
    const config = { ...first.portmap.config, prevResult: { ...first.result, interfaces } };
    bench.caller.add({ ...first.portmap, config });
    expect(bench.refused([{ hostPort: 8080 }]).code).toBe(11);
    output("ip", "link", "del", "veth1234abcd");
    expect(bench.map([{ hostPort: 8080 }]).answer.stderr).toContain("is taken over from");
  });

  it("is not, by an ADD of the same container, and leads where the last one says", async () => {
    const mapped = bench.map([{ hostPort: 8080 }]);
    expect(bench.caller.succeed({ ...mapped.portmap, command: "ADD" }).steps).toEqual([]);
    await answerAs("pod", mapped.sandbox, 81);
    const config = {
      ...mapped.portmap.config,
      ...asked([{ hostPort: 8080, containerPort: 81 }]),
    };
    bench.caller.add({ ...mapped.portmap, config });
    expect(reach(outside.sandbox, outside.node.v4)).toBe(`pod ${outside.v4}`);
  });
});

describe("two networks of one container", () => {
  const second = {
    name: "net2",
    bridge: "br2",
    isDefaultGateway: false,
    ipam: { type: "host-local", ranges: [[{ subnet: "10.92.0.0/24" }], [{ subnet: "fd00:92::/64" }]] },
  };

  it("have their own ports, and DEL of one leaves the other's", async () => {
    const one = bench.map([{ hostPort: 8080 }]);
    const { sandbox } = one;
    const two = bench.map([{ hostPort: 8081 }], { sandbox, containerId: "cid-1", ifname: "eth1", bridge: second });
    await answerAs("pod", sandbox);
    expect(reach(node, "127.0.0.1", { port: 8080 })).toBe("pod 10.91.0.1");
    expect(reach(node, "127.0.0.1", { port: 8081 })).toBe("pod 10.92.0.1");
    bench.unmap(one);
    expect(reach(node, "127.0.0.1", { port: 8080 })).toBeUndefined();
    expect(reach(node, "127.0.0.1", { port: 8081 })).toBe("pod 10.92.0.1");
    expect(bench.check(two).exitCode).toBe(0);
  });

  it("may be given the same ports, as some runtimes do: the first has them", async () => {
    const one = bench.map([{ hostPort: 8080 }]);
    const { sandbox } = one;
    const two = bench.map([{ hostPort: 8080 }], { sandbox, containerId: "cid-1", ifname: "eth1", bridge: second });
    expect(two.answer.stderr).toContain("8080/tcp stays with container");
    await answerAs("pod", sandbox);
    expect(reach(node, "127.0.0.1")).toBe("pod 10.91.0.1");
    expect([bench.check(one).exitCode, bench.check(two).exitCode]).toEqual([0, 0]);
    bench.unmap(two);
    expect(reach(node, "127.0.0.1")).toBe("pod 10.91.0.1");
  });
});

describe("what is made", () => {
  const hundred = Array.from({ length: 100 }, (_, at) => ({ hostPort: 20_000 + at, containerPort: 80 }));

  it("is one transaction for any number of ports, and no more rules than for one", () => {
    bench.map([{ hostPort: 8080 }]);
    const rules = () => output("nft", "-j", "list", "ruleset").match(/"rule":/g)?.length;
    const before = rules();
    const many = bench.map(hundred);
    expect(many.answer.steps.filter((step) => step.startsWith("nft "))).toHaveLength(1);
    expect(rules()).toBe(before);
    expect(elements("hostport4").match(/tcp \. 20\d+/g)).toHaveLength(100);
    expect(bench.unmap(many).steps.filter((step) => step.startsWith("nft "))).toHaveLength(1);
    expect(elements("hostport4")).not.toContain("20000");
  });

  it("takes a few more datagrams for a hundred ports than for one, by each verb", () => {
    const send = vi.spyOn(NetlinkSocket.prototype, "send");
    onTestFinished(() => void vi.restoreAllMocks());
    const sent = (work: () => unknown): number => {
      send.mockClear();
      work();
      return send.mock.calls.length;
    };
    const counts = (ports: readonly Mapping[]) => {
      const prepared = bench.prepare(ports);
      const add = sent(() => bench.caller.succeed({ ...prepared.portmap, command: "ADD" }));
      const check = sent(() => expect(bench.check(prepared).exitCode).toBe(0));
      return [add, check, sent(() => bench.unmap(prepared))];
    };
    bench.map([{ hostPort: 8080 }]); // the chains are there
    const one = counts([{ hostPort: 8081 }]);
    for (const [at, count] of counts(hundred).entries()) expect(count - (one[at] ?? 0)).toBeLessThan(12);
    const bound = hundred.map((port) => ({ ...port, hostIP: "192.0.2.1" }));
    for (const [at, count] of counts(bound).entries()) expect(count - (one[at] ?? 0)).toBeLessThan(24);
  });

  it("is made again by the next ADD after somebody flushed everything, and DEL does not mind", async () => {
    const [one, two] = [bench.map([{ hostPort: 8080 }]), bench.map([{ hostPort: 8081 }])];
    output("nft", "flush", "ruleset");
    expect(bench.check(one)).toMatchObject({ exitCode: 1, stdout: expect.stringContaining("hostport_prerouting") });
    bench.unmap(one);
    const { sandbox } = bench.map([{ hostPort: 8080 }]);
    await answerAs("pod", sandbox);
    expect(reach(outside.sandbox, outside.node.v4)).toBe(`pod ${outside.v4}`);
    expect(reach(node, "127.0.0.1")).toBe("pod 10.91.0.1");
    bench.unmap(two);
  });

  it.each([
    [
      "an element",
      "delete element inet podlink hostport4 { tcp . 8080 }",
      /host port 8080\/tcp: map ".*hostport4" has no such element/,
    ],
    ["a chain's rules", "flush chain inet podlink hostport_output", /hostport_output/],
    ["the guard", "flush chain inet podlink loopback_guard", /loopback_guard/],
    ["who is masqueraded", "flush map inet podlink hostport_clients4", /hostport_clients4/],
    ["who is reached at 127.0.0.1", "flush set inet podlink hostport_loopback", /hostport_loopback/],
    ["who uses the link there", "flush map inet podlink loopback_users", /loopback_users/],
    ["whose ports they are", "flush map inet podlink hostport_owners", /hostport_owners/],
  ])("is checked: %s", (_title, command, message) => {
    const mapped = bench.map([{ hostPort: 8080 }]);
    expect(bench.check(mapped)).toMatchObject({ exitCode: 0, steps: [] });
    output("nft", command);
    expect(JSON.parse(bench.check(mapped).stdout).msg).toMatch(message);
    bench.caller.add(mapped.portmap);
    expect(bench.check(mapped).exitCode).toBe(0);
  });

  it("is checked: the sysctl", () => {
    const mapped = bench.map([{ hostPort: 8080 }]);
    writeFileSync("/proc/sys/net/ipv4/conf/br1/route_localnet", "0");
    expect(JSON.parse(bench.check(mapped).stdout).msg).toContain("net/ipv4/conf/br1/route_localnet");
  });

  it("is checked: where it leads", () => {
    const mapped = bench.map([{ hostPort: 8080 }]);
    const config = {
      ...mapped.portmap.config,
      ...asked([{ hostPort: 8080, containerPort: 81 }]),
    };
    const error = bench.caller.fail({ ...mapped.portmap, config, command: "CHECK" });
    expect(error.msg).toContain("it leads to 10.91.0.2 port 80, expected 10.91.0.2 port 81");
  });

  it("of other networks stays when GC removes what is stale", () => {
    const [kept, stale] = [bench.map([{ hostPort: 8080 }]), bench.map([{ hostPort: 8081 }])];
    const ipam = { type: "host-local", ranges: [[{ subnet: "10.92.0.0/24" }]] };
    const other = bench.map([{ hostPort: 8082 }], { bridge: { name: "net2", bridge: "br2", ipam } });
    const config = {
      cniVersion: "1.1.0",
      name: "net1",
      type: "portmap",
      "cni.dev/valid-attachments": [{ containerID: "cid-1", ifname: "eth0" }],
    };
    bench.caller.succeed({ type: "portmap", command: "GC", config });
    expect([kept, stale, other].map((one) => bench.check(one).exitCode)).toEqual([0, 1, 0]);
    expect(elements("hostport_clients4")).not.toContain(stale.v4);
  });

  it("is nothing where the first change fails", () => {
    const { portmap } = bench.prepare([{ hostPort: 8080 }]);
    const error = bench.caller.fail({ ...portmap, command: "ADD", steps: new DyingSteps(0) });
    expect(error.msg).toBe("Cannot map ports: killed");
    expect(output("nft", "list", "ruleset")).toBe("");
  });

  it("needs an address", () => {
    const { portmap } = bench.prepare([{ hostPort: 8080 }]);
    const config = { ...portmap.config, prevResult: { cniVersion: "1.1.0" } };
    expect(bench.caller.succeed({ ...portmap, config, command: "ADD" }).stderr).toContain('"eth0" has no address');
  });

  it("needs a namespace for nothing", () => {
    const sandbox = makeSandbox();
    bench.caller.succeed({
      type: "portmap",
      command: "DEL",
      netns: sandbox.path,
      config: { cniVersion: "1.1.0", name: "n", type: "portmap" },
    });
  });
});
