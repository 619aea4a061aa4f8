import { beforeAll, describe, expect, it } from "vitest";
import type { Json } from "../support/call-plugin.ts";
import { type Observation, observe, podlink, reference } from "../support/implementation.ts";
import { hideMachineState } from "../support/node.ts";
import { lacking } from "../support/reference.ts";
import { same, scenario } from "./reference-cases.ts";

// The same calls to the reference and to podlink, each on a fresh node: what they answer and what they leave in the container, on the node
// and on disk has to be the same but for the differences below, which are meant.

interface Difference {
  readonly what: string;
  readonly why: string;
  /** Whether a member of what was observed is part of it; such members are not compared. */
  hides(key: string, value: unknown, holder: Json): boolean;
}

const differences: readonly Difference[] = [
  {
    what: "the MTU among a result's interfaces",
    why: "the specification has it since 1.1.0, the reference leaves it out",
    hides: (key, _value, holder) => key === "mtu" && "name" in holder,
  },
  {
    what: "the MAC address of a bridge that was not given one",
    why: "podlink's is fixed when the bridge is made, the reference's is its lowest port's until it gets a gateway's address",
    hides: (key, value, holder) =>
      (key === "mac" || key === "address") &&
      isBridge(holder.name ?? holder.ifname) &&
      !String(value).startsWith("c2:00:00:00:00:"),
  },
  {
    what: "an alias of the port",
    why: "says whose link it is to a person, and to DEL and GC",
    hides: (key) => key === "ifalias",
  },
  {
    what: "the queue length of the port",
    why: "the reference's library writes a 0 there, podlink leaves the kernel's 1000",
    hides: (key, _value, holder) => key === "txqlen" && holder.ifname === "PORT",
  },
  {
    what: "the number of queues of both ends",
    why: "the kernel makes one per processor, which costs time and brings nothing",
    hides: (key) => key === "num_tx_queues" || key === "num_rx_queues",
  },
  {
    what: "IPv6 addresses without duplicate address detection",
    why: "IPAM gives no address twice, and the gateway answers at once instead of after a second or two",
    hides: (key) => key === "nodad",
  },
  {
    what: "a bridge without duplicate address detection",
    why: "until its link-local address has settled, the node asks for no IPv6 neighbour on behalf of what it passes on",
    hides: (key) => /conf\/(br0|cni0)\/accept_dad$/.test(key),
  },
  {
    what: "neighbour advertisements when the link changes",
    why: "IPv4's arp_notify has its like in IPv6; the reference's bridge forgets it",
    hides: (key) => key.endsWith("/ndisc_notify"),
  },
];

function without(observation: Observation, keys: readonly string[]): unknown {
  return Object.fromEntries(Object.entries(observation).filter(([key]) => !keys.includes(key)));
}

function isBridge(name: unknown): boolean {
  return name === "br0" || name === "cni0";
}

const missing = lacking(reference.path);

function withoutDifferences(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDifferences);
  if (typeof value !== "object" || value === null) return value;
  const holder = value as Json;
  const kept = Object.entries(holder).filter(
    ([key, item]) => !differences.some((difference) => difference.hides(key, item, holder)),
  );
  return Object.fromEntries(kept.map(([key, item]) => [key, withoutDifferences(item)]));
}

describe.skipIf(missing !== "")(`podlink beside the reference${missing}`, () => {
  beforeAll(hideMachineState);

  it("is seen in links, addresses, routes, sysctls and leases", () => {
    const ipam = { type: "host-local", ranges: [[{ subnet: "10.1.2.0/24" }], [{ subnet: "fd01::/64" }]] };
    const both = [reference, podlink].map((implementation) =>
      observe(implementation, scenario({ title: "", config: { isDefaultGateway: true, ipam } })),
    );
    const port = { ifname: "PORT", master: "br0", linkinfo: { info_slave_data: { hairpin: false } } };
    const seen = {
      container: {
        links: [{ ifname: "lo" }, { ifname: "eth0", flags: ["UP"] }],
        addresses: [{}, { addresses: [{ local: "10.1.2.2", prefixlen: 24 }, { local: "fd01::2" }] }],
        routes: expect.arrayContaining([expect.objectContaining({ dst: "default", gateway: "10.1.2.1", dev: "eth0" })]),
        sysctls: { "ipv4/conf/eth0/arp_notify": "1", "ipv6/conf/eth0/keep_addr_on_down": "1" },
      },
      node: {
        links: [{ ifname: "lo" }, { ifname: "br0", linkinfo: { info_kind: "bridge" } }, port],
        addresses: [{}, { addresses: [{ local: "10.1.2.1" }, { local: "fd01::1" }] }, {}],
        sysctls: { "ipv4/conf/all/forwarding": "1", "ipv6/conf/PORT/accept_ra": "0" },
      },
      leases: { "net1/10.1.2.2": "cid-1\r\neth0", "net1/last_reserved_ip.1": "fd01::2" },
    };
    for (const { stateAfterAdd } of both) expect(stateAfterAdd).toMatchObject(seen);
  });

  it.each(same)("$title", (each) => {
    const [theirs, ours] = [reference, podlink].map((implementation) => observe(implementation, scenario(each))) as [
      Observation,
      Observation,
    ];
    expect(theirs.add, "what the reference answers").toMatchObject({ exitCode: 0 });
    const { apart = { theirs: {}, ours: {} } } = each;
    expect(theirs).toMatchObject(apart.theirs);
    expect(ours).toMatchObject(apart.ours);
    const rest = (observation: Observation) => withoutDifferences(without(observation, Object.keys(apart.theirs)));
    expect(rest(ours)).toEqual(rest(theirs));
  });
});
