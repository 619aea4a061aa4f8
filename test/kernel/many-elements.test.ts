import { beforeEach, describe, expect, it, vi } from "vitest";
import type { HostPort } from "../../src/firewall/host-port.ts";
import { deleteHostPorts, hostPortRemoval } from "../../src/firewall/host-port-removal.ts";
import { addHostPorts, planHostPorts } from "../../src/firewall/host-ports.ts";
import { addIngressPolicy, deleteIngressPolicy } from "../../src/firewall/ingress-policy.ts";
import { addMasquerade, deleteMasquerade } from "../../src/firewall/masquerade.ts";
import { changeRuleset, type RulesetChange } from "../../src/firewall/ruleset-change.ts";
import { addSpoofCheck, deleteSpoofCheck } from "../../src/firewall/spoof-check.ts";
import { podlinkTable } from "../../src/firewall/table.ts";
import { Address } from "../../src/ip/address.ts";
import { Prefix } from "../../src/ip/prefix.ts";
import { hostLinkName, type NameParts } from "../../src/link/names.ts";
import { transaction } from "../../src/link/nftables.ts";
import type { Batch } from "../../src/netlink/netfilter/batch.ts";
import { output } from "../support/node.ts";
import { makeStage, type Stage } from "../support/stage.ts";

// What one more container costs in nf_tables where there are many: single elements, found by their keys.

const MANY = 500;
let stage: Stage;

beforeEach(() => {
  stage = makeStage();
  output("ip", "link", "add", "br0", "up", "type", "bridge");
  output("ip", "address", "add", "10.91.0.1/22", "dev", "br0");
  output("ip", "address", "add", "fd00:91::1/64", "dev", "br0", "nodad");
});

const nobody = (number: number): NameParts => ({ network: "net1", containerId: `cid-${number}`, ifname: "eth0" });

/** The addresses of a made-up container, with the length of their networks, or alone as in routed mode. */
function addressesOf(number: number, alone = false): Prefix[] {
  const [four, six] = [Address.parse("10.91.0.1").plus(BigInt(number)), Address.parse("fd00:91::1").plus(BigInt(number))];
  return alone ? [Prefix.host(four), Prefix.host(six)] : [new Prefix(four, 22), new Prefix(six, 64)];
}

/** Two ports of every address and one of a single one. */
function portsOf(number: number): HostPort[] {
  const one = { containerPort: 80, hostAddress: undefined, families: [4, 6] as const };
  return [
    { ...one, protocol: "tcp", hostPort: 10_000 + number },
    { ...one, protocol: "udp", hostPort: 10_000 + number },
    { ...one, protocol: "tcp", hostPort: 20_000 + number, hostAddress: Address.parse("10.91.0.1"), families: [4] },
  ];
}

/** All that a container can have. Every other one stands alone. */
function add(batch: Batch, number: number): void {
  const { host } = stage;
  const attachment = nobody(number);
  const port = hostLinkName(attachment);
  const except = [Prefix.parse("10.96.0.0/12"), Prefix.parse("fd00:96::/108")];
  addMasquerade(host, batch, { attachment, addresses: addressesOf(number), except });
  addSpoofCheck(host, batch, { attachment, mac: "02:00:00:00:00:01" });
  addIngressPolicy(host, batch, { attachment, bridge: "br0", port, policy: "isolated" });
  const targets = addressesOf(number, number % 2 === 0);
  const selfReaching = targets.map(({ address }) => address);
  const wish = { attachment, ports: portsOf(number), targets, hostLink: undefined, selfReaching };
  addHostPorts(host, batch, planHostPorts(host, { ...wish, masquerade: "neighbours" }));
}

function removalOf(number: number): RulesetChange[] {
  const { host } = stage;
  const attachment = nobody(number);
  const rest: RulesetChange = {
    put(batch) {
      deleteMasquerade(host, batch, attachment);
      deleteSpoofCheck(host, batch, attachment);
      deleteIngressPolicy(host, batch, attachment);
    },
  };
  return [rest, hostPortRemoval(host, { warn: expect.fail, remove: (batch) => deleteHostPorts(host, batch, attachment) })];
}

/** What work asks the kernel for: a name for each set that is read as a whole, and how often single elements are looked up. */
function watch(work: () => void): { dumped: string[]; looked: number } {
  const { nftables } = stage.host;
  const elements = vi.spyOn(nftables, "elements");
  const dump = vi.spyOn(nftables.connection, "dump");
  const element = vi.spyOn(nftables, "element");
  const find = vi.spyOn(nftables, "find");
  try {
    work();
    const dumps = dump.mock.calls.filter(([{ type }]) => type.kernelName === "NFT_MSG_GETSETELEM");
    const dumped = elements.mock.calls.map(([set]) => set.name);
    expect(dumps).toHaveLength(dumped.length); // nobody reads a set in another way
    return { dumped, looked: element.mock.calls.length + find.mock.calls.flatMap(([places]) => places).length };
  } finally {
    vi.restoreAllMocks();
  }
}

const connect = (number: number): void => transaction(stage.host, (batch) => add(batch, number));

const disconnect = (number: number): void => changeRuleset(stage.host, removalOf(number));

/** Elements that are for containers. */
const left = () => output("nft", "list", "ruleset").match(/ net1 /g)?.length ?? 0;

describe(`with ${MANY} containers`, { timeout: 120_000 }, () => {
  it("one more is added and removed by single elements, as many as the second took", () => {
    connect(1);
    const few = { add: watch(() => connect(2)), remove: watch(() => disconnect(2)) };
    for (let number = 3; number < MANY + 3; number++) connect(number);
    const many = { add: watch(() => connect(2)), remove: watch(() => disconnect(2)) };
    expect(many).toEqual(few);
    expect([few.add.dumped, few.remove.dumped]).toEqual([[], []]);
    expect(few.remove.looked).toBeGreaterThan(0);

    for (let number = 3; number < 20; number++) disconnect(number);
    // Whoever is in no list is looked for in all
    output("nft", "flush map inet podlink masquerade_owners; flush map inet podlink hostport_owners");
    output("nft", "flush map inet podlink link_witnesses");
    for (let number = 20; number < MANY + 3; number++) disconnect(number);
    expect(left()).toBeGreaterThan(0);
    disconnect(1);
    expect(left()).toBe(0);
    expect(output("nft", "list", "ruleset")).not.toMatch(/"br0"|elements = \{ (tcp|udp) \. \d/);
  });

  it("no set of intervals grows", () => {
    const intervals = () =>
      stage.host.nftables
        .sets(podlinkTable)
        .flatMap(({ interval, key, ...set }) =>
          interval === true && key !== undefined ? [stage.host.nftables.elements({ ...set, key, interval })?.length] : [],
        );
    connect(1);
    const first = intervals();
    for (let number = 2; number < 20; number++) connect(number);
    expect(intervals()).toEqual(first);
    expect(first).toEqual([2, 2]); // where addresses are kept, of each family
  });
});

describe("the last two who share a bridge", () => {
  it("leave nothing of it, though each sees the other while it goes", () => {
    for (const number of [1, 2]) connect(number);
    let other: (() => void) | undefined = () => disconnect(1);
    let tries = 0;
    const meanwhile: RulesetChange = {
      put() {
        tries++;
        other?.();
        other = undefined;
      },
    };
    changeRuleset(stage.host, [...removalOf(2), meanwhile]);
    expect(tries).toBe(2);
    expect(left()).toBe(0);
    expect(output("nft", "list", "ruleset")).not.toContain('"br0"');
  });
});
