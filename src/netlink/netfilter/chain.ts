import { attributes, listed } from "../attributes.ts";
import { be32, be32Signed, be64, named, text } from "../codec.ts";
import { familyName, NFPROTO, netfilterMessage, type TableFamily } from "./message-types.ts";
import { type Table, tableText } from "./table.ts";
import { comment } from "./userdata.ts";

/** linux/netfilter.h, NF_INET_*; the bridge family has the same numbers (NF_BR_*). */
const INET_HOOKS = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4, ingress: 5 } as const;
const NETDEV_HOOKS = { ingress: 0, egress: 1 } as const;
const ARP_HOOKS = { input: 0, output: 1, forward: 2 } as const;

export type Hook = keyof typeof INET_HOOKS | keyof typeof NETDEV_HOOKS;

/** What makes a chain see packets. */
export interface BaseChain {
  readonly type: "filter" | "nat" | "route";
  readonly hook: Hook;
  /** Lower runs first; nft's names: dstnat -100 (bridge -300), filter 0 (bridge -200), srcnat 100. */
  readonly priority: number;
  /** What happens to packets no rule decided on; undefined is accept. */
  readonly policy?: "accept" | "drop" | undefined;
  /** Devices of the ingress and egress hooks. */
  readonly devices?: readonly string[] | undefined;
}

export interface Chain {
  readonly table: Table;
  readonly name: string;
  /** Undefined: a chain that only rules and verdicts jump to. */
  readonly base?: BaseChain | undefined;
  readonly comment?: string | undefined;
}

/** A chain the kernel has. */
export interface ChainEntry extends Chain {
  readonly handle: bigint | undefined;
}

/** enum nft_chain_attributes. */
export const chainMessage = netfilterMessage({
  table: [1, "NFTA_CHAIN_TABLE", text],
  handle: [2, "NFTA_CHAIN_HANDLE", be64],
  name: [3, "NFTA_CHAIN_NAME", text],
  type: [7, "NFTA_CHAIN_TYPE", text],
  policy: [5, "NFTA_CHAIN_POLICY", named(be32, { drop: 0, accept: 1 })],
  hook: [
    4,
    "NFTA_CHAIN_HOOK",
    attributes({
      number: [1, "NFTA_HOOK_HOOKNUM", be32],
      priority: [2, "NFTA_HOOK_PRIORITY", be32Signed],
      device: [3, "NFTA_HOOK_DEV", text],
      devices: [4, "NFTA_HOOK_DEVS", listed("NFTA_DEVICE_NAME", text)],
    }),
  ],
  use: [6, "NFTA_CHAIN_USE", be32],
  flags: [10, "NFTA_CHAIN_FLAGS", be32],
  comment: [12, "NFTA_CHAIN_USERDATA", comment],
});

/** `inet podlink postrouting`. */
export function chainText(chain: Pick<Chain, "table" | "name">): string {
  return `${tableText(chain.table)} ${chain.name}`;
}

/** The chain as a person writes it after `add chain`. */
export function describeChain(chain: Chain): string {
  const { base } = chain;
  const lines: string[] = [];
  if (chain.comment !== undefined) lines.push(`comment "${chain.comment}";`);
  if (base !== undefined) {
    const devices = base.devices === undefined ? "" : ` devices = { ${base.devices.join(", ")} }`;
    lines.push(`type ${base.type} hook ${base.hook}${devices} priority ${base.priority}; policy ${base.policy ?? "accept"};`);
  }
  return lines.length === 0 ? chainText(chain) : `${chainText(chain)} { ${lines.join(" ")} }`;
}

export function encodeChain(chain: Chain): Uint8Array {
  const { base, table } = chain;
  const common = { family: NFPROTO[table.family], table: table.name, name: chain.name, comment: chain.comment };
  if (base === undefined) return chainMessage.encode(common);
  const [device, ...more] = base.devices ?? [];
  return chainMessage.encode({
    ...common,
    type: base.type,
    policy: base.policy ?? "accept",
    hook: {
      number: hooksOf(table.family)[base.hook],
      priority: base.priority,
      device: more.length === 0 ? device : undefined,
      devices: more.length === 0 ? undefined : [...(base.devices ?? [])],
    },
  });
}

export function decodeChain(body: Uint8Array): ChainEntry {
  const message = chainMessage.decode(body);
  const family = familyName(message.family);
  const common = {
    table: { family, name: message.table ?? "" },
    name: message.name ?? "",
    comment: message.comment,
    handle: message.handle,
  };
  const { hook } = message;
  if (hook === undefined) return common;
  const hooks = hooksOf(family);
  const name = (Object.keys(hooks) as Hook[]).find((each) => hooks[each] === hook.number);
  const base: BaseChain = {
    type: message.type as BaseChain["type"],
    hook: name ?? (`hook ${hook.number}` as Hook),
    priority: hook.priority ?? 0,
    policy: message.policy === "drop" ? "drop" : "accept",
    devices: hook.devices ?? (hook.device === undefined ? undefined : [hook.device]),
  };
  return { ...common, base };
}

function hooksOf(family: TableFamily): Readonly<Partial<Record<Hook, number>>> {
  return family === "netdev" ? NETDEV_HOOKS : family === "arp" ? ARP_HOOKS : INET_HOOKS;
}
