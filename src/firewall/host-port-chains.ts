import { Prefix } from "../ip/prefix.ts";
import { inSet } from "../netlink/netfilter/statements/lookup.ts";
import { flagged, match } from "../netlink/netfilter/statements/match.ts";
import { dnatToMap, masquerade } from "../netlink/netfilter/statements/nat.ts";
import { verdict } from "../netlink/netfilter/statements/verdict.ts";
import { loopbackTargets, mapsOfPorts, portMaps, returnPairs } from "./host-port-sets.ts";
import type { FixedChain } from "./rules.ts";
import { podlinkTable as table } from "./table.ts";

// One priority before the masquerading of whole networks: the first that translates a connection's source decides.
const BEFORE_SRCNAT = 99;
const DSTNAT = -100;

/** The chains of host ports: the same few rules for any number of them. */
export function hostPortChains(): FixedChain[] {
  return [
    {
      chain: { table, name: "hostport_prerouting", base: { type: "nat", hook: "prerouting", priority: DSTNAT } },
      sets: mapsOfPorts(),
      rules: [guard(), ...translations()],
    },
    {
      chain: { table, name: "hostport_output", base: { type: "nat", hook: "output", priority: DSTNAT } },
      sets: mapsOfPorts(),
      // The kernel would send it off but take no answer: a client that is refused tries 127.0.0.1 next, one without answer waits
      rules: [
        guard(),
        ["nothing leads from [::1] to a container", match("ip6 daddr", "::1"), verdict("return")],
        ...translations(),
      ],
    },
    returnChain(),
  ];
}

/** The one that makes answers pass the node. */
export function returnChain(): FixedChain {
  const translated = flagged("ct status", ["dnat"]);
  const random = masquerade({ fullyRandom: true });
  return {
    chain: { table, name: "hostport_postrouting", base: { type: "nat", hook: "postrouting", priority: BEFORE_SRCNAT } },
    sets: [...Object.values(returnPairs), loopbackTargets],
    rules: [
      [
        "host ports: answers between containers pass the node, IPv4",
        translated,
        inSet(["ip saddr", "ip daddr"], returnPairs[4]),
        random,
      ],
      [
        "host ports: answers between containers pass the node, IPv6",
        translated,
        inSet(["ip6 saddr", "ip6 daddr"], returnPairs[6]),
        random,
      ],
      [
        "host ports: processes of the node at 127.0.0.1",
        translated,
        match("ip saddr", Prefix.parse("127.0.0.0/8")),
        inSet(["oifname", "ip daddr"], loopbackTargets),
        random,
      ],
    ],
  };
}

/** What is sent through the node to somebody else is none of our business, whatever its port. */
function guard(): FixedChain["rules"][number] {
  return ["host ports: only what is addressed to this node", match("fib daddr type", "local", { not: true }), verdict("return")];
}

function translations(): FixedChain["rules"] {
  const [four, six] = [match("meta nfproto", "ipv4"), match("meta nfproto", "ipv6")];
  const ports = ["meta l4proto", "th dport"] as const;
  return [
    ["host ports of one IPv4 address", dnatToMap(["ip daddr", ...ports], portMaps[4].one)],
    ["host ports of every IPv4 address", four, dnatToMap(ports, portMaps[4].every)],
    ["host ports of one IPv6 address", dnatToMap(["ip6 daddr", ...ports], portMaps[6].one)],
    ["host ports of every IPv6 address", six, dnatToMap(ports, portMaps[6].every)],
  ];
}
