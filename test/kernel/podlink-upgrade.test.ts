import { beforeEach, describe, expect, it } from "vitest";
import { hostLinkName } from "../../src/link/names.ts";
import { type Attached, Bench } from "../support/attach.ts";
import type { Json } from "../support/call-plugin.ts";
import { makeSandbox, output } from "../support/node.ts";
import { makeOutside, type Outside } from "../support/outside.ts";
import { answerAs, asked, inside, node, reach } from "../support/port-bench.ts";
import { ask, serve } from "../support/talk.ts";

// A node on which podlink is replaced by this version while containers run: what the older one made in nf_tables had other sets.

const bench = new Bench();
let outside: Outside;
beforeEach(() => {
  outside = makeOutside();
});

const network = (mode: string): Json & { readonly type: string } => ({
  cniVersion: "1.1.0",
  name: "pods",
  type: "podlink",
  mode,
  nonMasqueradeCIDRs: ["10.96.0.0/12"],
  ipam: { type: "host-local", ranges: [[{ subnet: "10.244.1.0/24" }], [{ subnet: "fd00:244:1::/64" }]] },
});

/** A container with two host ports, and table inet podlink as the older version would have made it. */
function attachedByOlder(mode: string): Attached {
  const ports = asked([{ hostPort: 8080 }, { hostPort: 8081, hostIP: "192.0.2.1" }]);
  const attached = bench.attach({ ...network(mode), ...ports }, { containerId: "old" });
  const { v4, v6 } = attached;
  const owner = hostLinkName({ network: "pods", containerId: "old", ifname: "eth0" });
  const comment = `comment "${owner} pods old eth0"`;
  const neighbours = mode === "routed" ? [`${v4}/32`, `${v6}/128`] : ["10.244.1.0/24", "fd00:244:1::/64"];
  output(
    "nft",
    `delete table inet podlink
     table inet podlink {
       set masquerade4 { type ipv4_addr; elements = { ${v4} ${comment} }; }
       set masquerade6 { type ipv6_addr; elements = { ${v6} ${comment} }; }
       set inside4 {
         type ipv4_addr . ipv4_addr
         flags interval
         elements = { ${v4} . 10.244.1.0/24 ${comment}, ${v4} . 10.96.0.0/12 ${comment} }
       }
       set inside6 { type ipv6_addr . ipv6_addr; flags interval; elements = { ${v6} . fd00:244:1::/64 ${comment} }; }
       map hostport4 {
         type inet_proto . inet_service : ipv4_addr . inet_service
         elements = { tcp . 8080 ${comment} : ${v4} . 80 }
       }
       map hostport4ip {
         type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
         elements = { 192.0.2.1 . tcp . 8081 ${comment} : ${v4} . 80 }
       }
       map hostport6 {
         type inet_proto . inet_service : ipv6_addr . inet_service
         elements = { tcp . 8080 ${comment} : ${v6} . 80 }
       }
       map hostport6ip { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
       set hostport_return4 {
         type ipv4_addr . ipv4_addr
         flags interval
         elements = { ${neighbours[0]} . ${v4} ${comment} }
       }
       set hostport_return6 {
         type ipv6_addr . ipv6_addr
         flags interval
         elements = { ${neighbours[1]} . ${v6} ${comment} }
       }
       set hostport_loopback { type ifname . ipv4_addr; elements = { "podlink0" . ${v4} ${comment} }; }
       set route_localnet { type ifname; elements = { "podlink0" }; }
       chain masquerading {
         type nat hook postrouting priority srcnat
         ip saddr . ip daddr @inside4 return comment "inside a network"
         ip6 saddr . ip6 daddr @inside6 return comment "inside a network, IPv6"
         ip saddr @masquerade4 masquerade fully-random comment "from containers to the outside"
         ip6 saddr @masquerade6 masquerade fully-random comment "from containers to the outside, IPv6"
       }
       chain hostport_postrouting {
         type nat hook postrouting priority srcnat - 1
         ct status dnat ip saddr . ip daddr @hostport_return4 masquerade fully-random
         ct status dnat ip6 saddr . ip6 daddr @hostport_return6 masquerade fully-random
         ct status dnat ip saddr 127.0.0.0/8 oifname . ip daddr @hostport_loopback masquerade fully-random
       }
     }`,
  );
  return attached;
}

const table = (): string => output("nft", "list", "table", "inet", "podlink");
const formerSets = /set (masquerade[46]|inside[46]|hostport_return[46]) /;

describe.each(["routed", "bridged"])("a container that an older version attached (%s)", (mode) => {
  it("goes on as before when another one is attached", async () => {
    const old = attachedByOlder(mode);
    const other = bench.attach({ ...network(mode), ...asked([{ hostPort: 9090 }]) });
    expect(table()).not.toMatch(formerSets);
    bench.caller.succeed({ ...old.who, command: "CHECK" });
    bench.caller.succeed({ ...other.who, command: "CHECK" });

    for (const address of [outside.v4, outside.v6])
      await serve(inside(outside.sandbox), { protocol: "tcp", address, port: 7000, name: "saw" });
    expect(ask(inside(old.sandbox), { protocol: "tcp", address: outside.v4, port: 7000 })).toBe("saw 192.0.2.1");
    expect(ask(inside(old.sandbox), { protocol: "tcp", address: outside.v6, port: 7000 })).toBe("saw 2001:db8::1");
    await answerAs("old", old.sandbox);
    expect(reach(outside.sandbox, outside.node.v4)).toBe(`old ${outside.v4}`);
    expect(reach(other.sandbox, outside.node.v4)).toMatch(/^old /);
    expect(reach(old.sandbox, outside.node.v4)).toMatch(/^old /);
    expect(reach(node, "127.0.0.1")).toMatch(/^old /);
    const config = { ...network(mode), ...asked([{ hostPort: 8081 }]) };
    const { msg } = bench.caller.fail({ type: "podlink", command: "ADD", config, netns: makeSandbox().path, containerId: "new" });
    expect(msg).toContain('it is taken as 192.0.2.1:8081/tcp by container "old"');

    bench.detach(other);
    expect(reach(node, "127.0.0.1")).toMatch(/^old /);
    bench.detach(old);
    expect(table()).not.toMatch(/ pods |podlink0/);
  });

  it("is removed without a trace by the first call of the new one", () => {
    bench.detach(attachedByOlder(mode));
    expect(table()).toMatch(formerSets);
    expect(table()).not.toContain(" pods ");
    bench.detach(bench.attach(network(mode)));
    expect(table()).not.toMatch(formerSets);
  });

  it("is found by GC", () => {
    attachedByOlder(mode);
    bench.caller.succeed({ type: "podlink", command: "GC", config: { ...network(mode), "cni.dev/valid-attachments": [] } });
    expect(table()).not.toContain(" pods ");
  });
});
