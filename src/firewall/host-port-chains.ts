import { Prefix } from "../ip/prefix.ts";
import { inSet, verdictMap } from "../netlink/netfilter/statements/lookup.ts";
import { flagged, match } from "../netlink/netfilter/statements/match.ts";
import { dnatToMap, masquerade } from "../netlink/netfilter/statements/nat.ts";
import { verdict } from "../netlink/netfilter/statements/verdict.ts";
import { clientMaps, loopbackTargets, mapsOfPorts, portMaps, selfPairs, setsOfReturns } from "./host-port-sets.ts";
import type { FixedChain } from "./rules.ts";
import { sharedChain } from "./shared-chain.ts";
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
    sets: [...setsOfReturns(), loopbackTargets],
    rules: [
      ["containers reach themselves", translated, inSet(["ip saddr", "ip daddr"], selfPairs[4]), random],
      ["containers reach themselves, IPv6", translated, inSet(["ip6 saddr", "ip6 daddr"], selfPairs[6]), random],
      ["host ports: answers to clients of a container pass the node", translated, verdictMap(["ip daddr"], clientMaps[4])],
      ["host ports: answers to clients of a container pass the node, IPv6", translated, verdictMap(["ip6 daddr"], clientMaps[6])],
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

/** Makes answers to these clients pass the node: those who have an address of a prefix; undefined: everybody. */
export function clientChain(clients: Prefix | undefined): FixedChain {
  const random = masquerade({ fullyRandom: true });
  if (clients === undefined) return sharedChain("from", { what: "everybody", rules: [["clients: everybody", random]] });
  const field = clients.family === 4 ? "ip saddr" : "ip6 saddr";
  return sharedChain("from", { what: `${clients}`, rules: [[`clients: ${clients}`, match(field, clients), random]] });
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
