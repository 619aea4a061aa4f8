import type { NameParts } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import { type Chain, chainText } from "../netlink/netfilter/chain.ts";
import type { RuleEntry } from "../netlink/netfilter/rule.ts";
import type { Failures } from "../support/errors.ts";
import {
  type Direction,
  directions,
  dropsByPolicy,
  foreignForwardChains,
  forwardRule,
  markOf,
  shortNetwork,
} from "./foreign-chains.ts";
import { collectUse, expectUse, joinUse, type LinkUse, leaveUse, linksInUse, usersMap } from "./link-use.ts";

// A packet passes only if no chain on the forward hook drops it: an accept in a table of ours does not help where Docker's or ufw's chain
// drops by policy. So here alone podlink writes into other people's chains: two rules per bridge, gone with its last attachment.

/** Whose traffic shall be forwarded. */
export interface ForwardingWish {
  readonly attachment: NameParts;
  /** The bridge, or a pattern for links that are on none: `plk3d9x*`. */
  readonly link: string;
  /** Families of the attachment's addresses. */
  readonly families: readonly (4 | 6)[];
}

/** Lets a link's traffic through every chain of others that drops by policy. */
export function addForwarding(host: NetworkNamespace, batch: Batch, wish: ForwardingWish): void {
  const { attachment, families, link } = wish;
  const left = joinUse(host, batch, { use: forwarding(), attachment, link });
  if (left !== undefined) close(host, batch, [left]);
  for (const chain of foreignForwardChains(host)) {
    if (!dropsByPolicy(chain, families)) continue;
    // Both go before the first rule, so the one that shall stand first is inserted last
    for (const direction of missingRules(host, chain, link).reverse()) {
      const rule = forwardRule(chain, { direction, link, network: attachment.network });
      batch.insertRule({ table: chain.table, chain: chain.name, ...rule });
    }
  }
}

/** Ends an attachment's wish; a link that nobody wishes it for any more is let through no longer. */
export function deleteForwarding(host: NetworkNamespace, batch: Batch, attachment: NameParts): void {
  const left = leaveUse(host, batch, { use: forwarding(), attachment });
  if (left !== undefined) close(host, batch, [left]);
}

/**
 * Ends the wishes of a network's attachments that are not valid any more. Where none is valid, rules go too that a lost table of ours
 * tells nothing of.
 */
export function collectForwarding(
  host: NetworkNamespace,
  batch: Batch,
  options: { network: string; valid: readonly Omit<NameParts, "network">[] },
): void {
  const left = collectUse(host, batch, { use: forwarding(), ...options });
  const used = new Set(linksInUse(host, forwarding()).filter((link) => !left.includes(link)));
  const orphans = options.valid.length === 0 ? shortNetwork(options.network) : undefined;
  deleteRules(host, batch, ({ link, network }) => left.includes(link) || (network === orphans && !used.has(link)));
}

/** Keeps in `failures` what is missing. */
export function checkForwarding(host: NetworkNamespace, failures: Failures, wish: ForwardingWish): void {
  const { attachment, families, link } = wish;
  failures.attempt(`find the wish to forward for "${link}"`, () => expectUse(host, { use: forwarding(), attachment, link }));
  for (const chain of foreignForwardChains(host)) {
    if (!dropsByPolicy(chain, families)) continue;
    failures.attempt(`find "${link}" let through chain "${chainText(chain)}", which drops by policy`, () => {
      const missing = missingRules(host, chain, link);
      if (missing.length > 0) throw new Error(`there is no rule for what is ${missing.join(" and no rule for ")} "${link}"`);
    });
  }
}

/** The links that a network's attachments wish to be let through. */
export function forwardedLinks(host: NetworkNamespace, network: string): string[] {
  return linksInUse(host, forwarding(), network);
}

function missingRules(host: NetworkNamespace, chain: Chain, link: string): Direction[] {
  const present = host.nftables.rules(chain).map(markOf);
  return directions.filter((direction) => !present.some((mark) => mark?.direction === direction && mark.link === link));
}

function close(host: NetworkNamespace, batch: Batch, links: readonly string[]): void {
  deleteRules(host, batch, ({ link }) => links.includes(link));
}

function deleteRules(
  host: NetworkNamespace,
  batch: Batch,
  goes: (mark: { readonly link: string; readonly network: string }) => boolean,
): void {
  const rules = foreignForwardChains(host).flatMap((chain): RuleEntry[] => host.nftables.rules(chain));
  for (const rule of rules) {
    const mark = markOf(rule);
    if (mark !== undefined && goes(mark)) batch.deleteRule(rule, { ifPresent: true });
  }
}

function forwarding(): LinkUse {
  return {
    users: usersMap("forward_users", "attachments whose bridge is let through chains that drop by policy"),
    marks: () => [],
  };
}
