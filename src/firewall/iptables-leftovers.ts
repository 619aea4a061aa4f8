import type { Address } from "../ip/address.ts";
import type { NameParts } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { asExpression } from "../netlink/netfilter/expression.ts";
import type { RuleEntry } from "../netlink/netfilter/rule.ts";
import { reason } from "../support/errors.ts";
import { sha512 } from "../support/sha512.ts";
import { hasLegacyChain } from "../sys/x-tables.ts";
import type { RulesetChange } from "./ruleset-change.ts";

// What the reference's plugins made with iptables for a container that podlink is to delete: a node moves from one to the other while
// containers run. The tables are iptables' own ("do not touch", nft says of them), and those of iptables-legacy only it can change: so it is
// told which rules they are, with the command that removes them, and nothing is looked for where podlink made what it deletes.

/** A chain that the reference makes per container, in table nat. */
export interface ContainerChain {
  readonly name: string;
  /** What its rules go on doing. */
  readonly does: string;
}

type Container = Pick<NameParts, "network" | "containerId">;

/** Of bridge and ptp with `ipMasq`. */
export function masqueradeChainOf({ network, containerId }: Container): ContainerChain {
  return { name: `CNI-${sha512(network + containerId).slice(0, 24)}`, does: "masquerade its addresses" };
}

/** Of portmap. */
export function hostPortChainOf({ network, containerId }: Container): ContainerChain {
  return { name: `CNI-DN-${sha512(network + containerId).slice(0, 21)}`, does: "map its host ports" };
}

const NAT = "nat";
const tools = { 4: "iptables", 6: "ip6tables" } as const;
const tableFamilies = { 4: "ip", 6: "ip6" } as const;
const families = [4, 6] as const;

type Backend = "nft" | "legacy";

interface Search {
  /** Names of the nf_tables tables there are: what is not there need not be looked into. */
  readonly present: ReadonlySet<string>;
  warn(message: string): void;
}

/** Tells of these chains where they are, when nothing of the attachment's was in nf_tables. Stands behind what removes that. */
export function noticeOfChains(
  host: NetworkNamespace,
  search: Search & { readonly chains: readonly ContainerChain[] },
): RulesetChange {
  return noticeOf(() => warnOfChains(host, search));
}

function noticeOf(warn: () => void): RulesetChange {
  let isOwn = false;
  return {
    put(batch) {
      isOwn = batch.operations.length > 0;
    },
    finish() {
      if (!isOwn) warn();
    },
  };
}

/** It fails in no case: there is nothing that it could keep from being done. */
function warnOfChains(
  host: NetworkNamespace,
  { chains, present, warn }: Search & { readonly chains: readonly ContainerChain[] },
): void {
  try {
    for (const chain of chains) {
      for (const family of families) {
        for (const backend of backendsOf(host, { chain, family, present })) warn(describeChain(chain, { family, backend }));
      }
    }
  } catch (error) {
    warn(`Cannot look for what iptables has of another plugin: ${reason(error)}`);
  }
}

function backendsOf(
  host: NetworkNamespace,
  { chain, family, present }: Pick<Search, "present"> & { chain: ContainerChain; family: 4 | 6 },
): Backend[] {
  const table = { family: tableFamilies[family], name: NAT };
  const inNftables = present.has(`${table.family} ${table.name}`) && host.nftables.hasChain({ table, name: chain.name });
  const inLegacy = host.inside(() => hasLegacyChain(family, { table: NAT, chain: chain.name }));
  return [...(inNftables ? ["nft" as const] : []), ...(inLegacy ? ["legacy" as const] : [])];
}

function describeChain({ does, name }: ContainerChain, { backend, family }: { backend: Backend; family: 4 | 6 }): string {
  const tool = `${tools[family]}-${backend}`;
  return `rules of another plugin still ${does}: chain "${name}" of ${tool}, table ${NAT}; to remove them: ${removal(tool, name)}`;
}

/**
 * Takes out the rules that lead to a chain, and the chain, in one transaction: all of it, or nothing where one of them is gone already.
 * There is no backslash in it, so that a line of the log can be copied as it is.
 */
function removal(tool: string, chain: string): string {
  const edits = ["/^[*]/p", `/ -j ${chain}$/s/^-A/-D/p`, `/^COMMIT/i -F ${chain}`, `/^COMMIT/i -X ${chain}`, "/^COMMIT/p"].map(
    (edit) => `-e '${edit}'`,
  );
  return `${tool}-save -t ${NAT} | sed -n ${edits.join(" ")} | ${tool}-restore --noflush`;
}

/** The reference's firewall plugin has two rules for each address in this chain of table filter, and nothing that says whose they are. */
const FORWARD = "CNI-FORWARD";

/** Tells of rules that let these addresses through, likewise; those of iptables-legacy are not looked for. */
export function noticeOfForwardRules(
  host: NetworkNamespace,
  search: { readonly addresses: readonly Address[]; warn(message: string): void },
): RulesetChange {
  return noticeOf(() => warnOfForwardRules(host, search));
}

function warnOfForwardRules(
  host: NetworkNamespace,
  { addresses, warn }: { readonly addresses: readonly Address[]; warn(message: string): void },
): void {
  try {
    for (const family of families) {
      const own = addresses.filter((address) => address.family === family);
      if (own.length === 0) continue;
      const rules = host.nftables.rules({ table: { family: tableFamilies[family], name: "filter" }, name: FORWARD });
      for (const address of own.filter((each) => rules.some((rule) => comparesWith(rule, each)))) warn(describeForward(address));
    }
  } catch (error) {
    warn(`Cannot look for what iptables has of another plugin: ${reason(error)}`);
  }
}

function comparesWith({ expressions }: RuleEntry, address: Address): boolean {
  return expressions.some((expression) => {
    const value = asExpression(expression, "cmp")?.data?.value;
    return value !== undefined && Buffer.from(value).equals(address.toBytes());
  });
}

function describeForward(address: Address): string {
  const tool = `${tools[address.family]}-nft`;
  const conditions = [`-d ${address} -m conntrack --ctstate RELATED,ESTABLISHED`, `-s ${address}`];
  const commands = conditions.map((condition) => `${tool} -D ${FORWARD} ${condition} -j ACCEPT`);
  return `rules of another plugin still let ${address} through: chain "${FORWARD}" of ${tool}; to remove them: ${commands.join("; ")}`;
}
