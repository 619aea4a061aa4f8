import { describe, expect, it } from "vitest";
import { Address } from "../../../../src/ip/address.ts";
import { Prefix } from "../../../../src/ip/prefix.ts";
import { Batch } from "../../../../src/netlink/netfilter/batch.ts";
import { chainMessage } from "../../../../src/netlink/netfilter/chain.ts";
import { elementsMessage } from "../../../../src/netlink/netfilter/element.ts";
import { NFT } from "../../../../src/netlink/netfilter/message-types.ts";
import type { NftSet } from "../../../../src/netlink/netfilter/set.ts";
import { setMessage } from "../../../../src/netlink/netfilter/set.ts";
import type { Table } from "../../../../src/netlink/netfilter/table.ts";
import { tableMessage } from "../../../../src/netlink/netfilter/table.ts";
import { splitMessages, toHex, vector } from "../../../support/hex.ts";

const FILE = "nftables.hex";
const table: Table = { family: "inet", name: "podlink" };
const pods: NftSet = { table, name: "pods4", key: ["ipv4_addr"], interval: true };
const nodes: NftSet = { table, name: "nodes6", key: ["ipv6_addr"], comment: "nodes" };
const allowed: NftSet = { table, name: "allowed", key: ["ipv4_addr", "inet_service"], interval: true };
const hostPorts: NftSet = {
  table,
  name: "hostport4",
  key: ["inet_proto", "inet_service"],
  data: ["ipv4_addr", "inet_service"],
};
const links: NftSet = { table, name: "links", key: ["ifname", "ether_addr"], data: "verdict" };
const hairpin: NftSet = { table, name: "hairpin4", key: ["ipv4_addr", "ipv4_addr"] };

/** The one message of a batch that nft sent: what stands between its begin and end. */
function captured(name: string) {
  const [, message, end] = splitMessages(vector(FILE, name));
  if (message === undefined || end === undefined) throw new Error(`Cannot find a message in "${name}"`);
  return message;
}

const requests: readonly { name: string; fill: (batch: Batch) => void; command: string }[] = [
  {
    name: "add table",
    fill: (batch) => batch.addTable({ ...table, comment: "of podlink" }),
    command: `add table inet podlink { comment "of podlink"; }`,
  },
  {
    name: "add chain",
    fill: (batch) => batch.addChain({ table, name: "other", comment: "jumped to" }),
    command: `add chain inet podlink other { comment "jumped to"; }`,
  },
  {
    name: "add base chain",
    fill: (batch) => batch.addChain({ table, name: "postrouting", base: { type: "nat", hook: "postrouting", priority: 100 } }),
    command: "add chain inet podlink postrouting { type nat hook postrouting priority 100; policy accept; }",
  },
  {
    name: "add base chain that drops",
    fill: (batch) =>
      batch.addChain({ table, name: "forward", base: { type: "filter", hook: "forward", priority: -5, policy: "drop" } }),
    command: "add chain inet podlink forward { type filter hook forward priority -5; policy drop; }",
  },
  {
    name: "add set with intervals",
    fill: (batch) => batch.addSet(pods),
    command: "add set inet podlink pods4 { type ipv4_addr; flags interval; }",
  },
  {
    name: "add set with a comment",
    fill: (batch) => batch.addSet(nodes),
    command: `add set inet podlink nodes6 { type ipv6_addr; comment "nodes"; }`,
  },
  {
    name: "add set of concatenated intervals",
    fill: (batch) => batch.addSet(allowed),
    command: "add set inet podlink allowed { type ipv4_addr . inet_service; flags interval; }",
  },
  {
    name: "add map",
    fill: (batch) => batch.addSet(hostPorts),
    command: "add map inet podlink hostport4 { type inet_proto . inet_service : ipv4_addr . inet_service; }",
  },
  {
    name: "add verdict map",
    fill: (batch) => batch.addSet(links),
    command: "add map inet podlink links { type ifname . ether_addr : verdict; }",
  },
  {
    name: "add interval",
    fill: (batch) => batch.addElements(pods, [{ key: [Prefix.parse("10.244.1.0/24")] }]),
    command: "add element inet podlink pods4 { 10.244.1.0/24 }",
  },
  {
    name: "add map element",
    fill: (batch) =>
      batch.addElements(hostPorts, [{ key: ["tcp", 8080], data: [Address.parse("10.244.1.5"), 80], comment: "cid0123" }]),
    command: `add element inet podlink hostport4 { tcp . 8080 comment "cid0123" : 10.244.1.5 . 80 }`,
  },
  {
    name: "add concatenated interval",
    fill: (batch) => batch.addElements(allowed, [{ key: [Prefix.parse("10.0.0.0/24"), { first: 80, last: 90 }], comment: "x" }]),
    command: `add element inet podlink allowed { 10.0.0.0/24 . 80-90 comment "x" }`,
  },
  {
    name: "add verdict",
    fill: (batch) => batch.addElements(links, [{ key: ["veth2", "02:00:00:00:00:02"], data: { code: "goto", chain: "plain" } }]),
    command: `add element inet podlink links { "veth2" . 02:00:00:00:00:02 : goto plain }`,
  },
  {
    name: "create element",
    fill: (batch) => batch.addElements(hairpin, [{ key: ["10.244.1.5", "10.244.1.5"] }], { exclusive: true }),
    command: "create element inet podlink hairpin4 { 10.244.1.5 . 10.244.1.5 }",
  },
  {
    name: "delete rule",
    fill: (batch) => batch.deleteRule({ table, chain: "plain", handle: 27n }),
    command: "delete rule inet podlink plain handle 27",
  },
  {
    name: "flush chain",
    fill: (batch) => batch.flushChain({ table, name: "plain" }),
    command: "flush chain inet podlink plain",
  },
  {
    name: "delete map element",
    fill: (batch) => batch.deleteElements(hostPorts, [{ key: ["tcp", 8080], data: ["10.0.0.1", 1], comment: "not sent" }]),
    command: "delete element inet podlink hostport4 { tcp . 8080 }",
  },
  {
    name: "delete interval",
    fill: (batch) => batch.deleteElements(pods, [{ key: [Prefix.parse("10.244.1.0/24")] }]),
    command: "delete element inet podlink pods4 { 10.244.1.0/24 }",
  },
  { name: "flush set", fill: (batch) => batch.flushSet(hairpin), command: "flush set inet podlink hairpin4" },
  {
    name: "delete chain",
    fill: (batch) => batch.deleteChain({ table, name: "plain" }),
    command: "delete chain inet podlink plain",
  },
  { name: "delete set", fill: (batch) => batch.deleteSet(hairpin), command: "delete set inet podlink hairpin4" },
  { name: "delete table", fill: (batch) => batch.deleteTable(table), command: "delete table inet podlink" },
];

/**
 * What the captured message says without what nft alone writes: the numbers it gives sets, the way it would print a concatenation
 * (NFTNL_UDATA_SET_*_TYPEOF, 3 and 4), and the zero element before a set's first interval.
 */
function essence(type: number, body: Uint8Array): Uint8Array {
  if (type === NFT.NEWSET.number) {
    const { userdata, ...rest } = setMessage.decode(body);
    const entries = new Map([...(userdata ?? [])].filter(([entry]) => entry !== 3 && entry !== 4));
    return setMessage.encode({ ...rest, id: 1, userdata: entries });
  }
  if (type === NFT.NEWSETELEM.number || type === NFT.DELSETELEM.number) {
    const { setId: _, elements, ...rest } = elementsMessage.decode(body);
    const own = elements?.filter(({ flags, key }) => flags !== 1 || key?.value?.some((byte) => byte !== 0));
    return elementsMessage.encode({ ...rest, elements: own });
  }
  if (type === NFT.DELSET.number) return setMessage.encode({ ...setMessage.decode(body), id: undefined, handle: undefined });
  if (type === NFT.DELTABLE.number) return tableMessage.encode({ ...tableMessage.decode(body), handle: undefined });
  if (type === NFT.DELCHAIN.number) return chainMessage.encode({ ...chainMessage.decode(body), handle: undefined });
  return body;
}

describe("Batch writes the bytes of nft", () => {
  it.each(requests)("$name", ({ name, fill, command }) => {
    const batch = new Batch();
    fill(batch);
    const theirs = captured(name);
    expect(batch.operations.map(({ request }) => [request.type.number, toHex(request.body)])).toEqual([
      [theirs.type, toHex(essence(theirs.type, theirs.body))],
    ]);
    expect(batch.command).toBe(`nft '${command}'`);
  });

  it("says of what is added that it may be there, or with exclusive that it must not", () => {
    const flagsOf = (options: { exclusive?: boolean }) => {
      const batch = new Batch();
      batch.addElements(hairpin, [{ key: ["10.244.1.5", "10.244.1.5"] }], options);
      return batch.operations.map(({ request }) => (request.flags ?? 0) | 1);
    };
    expect(flagsOf({})).toEqual([captured("add map element").flags]);
    expect(flagsOf({ exclusive: true })).toEqual([captured("create element").flags]);
  });
});

const formats = [
  { format: tableMessage, names: ["add table"] },
  { format: chainMessage, names: ["add chain", "add base chain", "add base chain that drops"] },
  { format: setMessage, names: ["add map", "add verdict map", "add set of concatenated intervals"] },
  { format: elementsMessage, names: ["add interval", "add map element", "add concatenated interval", "add verdict"] },
].flatMap(({ format, names }) => names.map((name) => ({ format, name })));

describe("a captured message survives reading and writing", () => {
  it.each(formats)("$name", ({ format, name }) => {
    const { body } = captured(name);
    const wide = format as { decode(bytes: Uint8Array): object; encode(value: object): Uint8Array };
    const read = wide.decode(body);
    expect(read).not.toHaveProperty("unknownAttributes");
    expect(toHex(wide.encode(read))).toBe(toHex(body));
  });
});
