import type { NetworkNamespace } from "../link/namespace.ts";
import type { Chain } from "../netlink/netfilter/chain.ts";
import { asExpression, type Expression } from "../netlink/netfilter/expression.ts";
import type { RuleEntry } from "../netlink/netfilter/rule.ts";
import { verdictExpression } from "../netlink/netfilter/rule-context.ts";
import { raw, type Statement } from "../netlink/netfilter/statement.ts";
import { flagged, match } from "../netlink/netfilter/statements/match.ts";
import { counter, verdict } from "../netlink/netfilter/statements/verdict.ts";
import { podlinkTable } from "./table.ts";

// Other people's chains on the forward hook, and the two rules of ours that may stand in them. In a table of iptables-nft they must look
// as that program writes them: one instruction it does not know, nft's own `ct state` for one, and it refuses the whole table
// ("table `filter' is incompatible, use 'nft' tool").

/** Base chains of others through which forwarded IP packets go. */
export function foreignForwardChains(host: NetworkNamespace): Chain[] {
  return host.nftables
    .chains()
    .filter(
      ({ base, table }) =>
        base?.hook === "forward" &&
        base.type === "filter" &&
        ["ip", "ip6", "inet"].includes(table.family) &&
        table.name !== podlinkTable.name,
    );
}

/** Whether what a chain's rules leave undecided is dropped in it, for one of these families. */
export function dropsByPolicy({ base, table }: Chain, families: readonly (4 | 6)[]): boolean {
  if (base?.policy !== "drop") return false;
  return table.family === "inet" ? families.length > 0 : families.includes(table.family === "ip" ? 4 : 6);
}

/**
 * Which packets a rule of ours lets through: what comes from behind a link, the answers to it, what is sent to it by way of a host port
 * or a Service.
 */
export const directions = ["from", "replies to", "translated to"] as const;

export type Direction = (typeof directions)[number];

/** What marks a rule as ours, and says for which link and by whose wish it was made. */
export interface Mark {
  readonly direction: Direction;
  readonly link: string;
  readonly network: string;
}

/** Names of networks may have any length, comments may not. */
const NETWORK_LETTERS = 60;

function markText({ direction, link, network }: Mark): string {
  return `podlink: ${direction} ${link} (${shortNetwork(network)})`.replaceAll('"', "");
}

/** A network's name as marks have it. */
export function shortNetwork(network: string): string {
  return network.slice(0, NETWORK_LETTERS);
}

/** The mark of a rule in somebody else's chain; undefined where the rule is not ours. */
export function markOf(rule: RuleEntry): Mark | undefined {
  const text = rule.comment ?? rule.expressions.map(xtComment).find((found) => found !== undefined);
  const [, direction, link, network] = /^podlink: (from|replies to|translated to) (\S+) \((.*)\)$/.exec(text ?? "") ?? [];
  if (direction === undefined || link === undefined || network === undefined) return undefined;
  return { direction: direction as Direction, link, network };
}

/** The rule for a mark, to be put into a chain; `link` may end in `*`. */
export function forwardRule(chain: Chain, mark: Mark): { statements: Statement[]; comment?: string } {
  if (!isIptables(chain)) return { statements: nativeStatements(mark), comment: markText(mark) };
  const words = nativeStatements(mark).map(({ text }) => text);
  return { statements: [raw(`${words.join(" ")} comment "${markText(mark)}"`, iptablesExpressions(mark))] };
}

/** Tables that iptables-nft takes for its own. */
function isIptables({ name, table }: Chain): boolean {
  return table.family !== "inet" && name === "FORWARD" && ["filter", "mangle", "security"].includes(table.name);
}

function nativeStatements({ direction, link }: Mark): Statement[] {
  const known = direction === "translated to" ? flagged("ct status", ["dnat"]) : flagged("ct state", ["established", "related"]);
  return direction === "from"
    ? [match("iifname", link), counter(), verdict("accept")]
    : [match("oifname", link), known, counter(), verdict("accept")];
}

/** `-i link -m comment --comment … -j ACCEPT`, and `-o link -m conntrack --ctstate RELATED,ESTABLISHED …`, `--ctstate DNAT …`. */
function iptablesExpressions(mark: Mark): Expression[] {
  const { direction, link } = mark;
  const name = link.endsWith("*") ? Buffer.from(link.slice(0, -1)) : Buffer.from(`${link}\0`);
  return [
    { name: "meta", data: { key: direction === "from" ? "iifname" : "oifname", dreg: 1 } },
    { name: "cmp", data: { sreg: 1, op: "eq", data: { value: name } } },
    ...(direction === "from" ? [] : [xtMatch("conntrack", { revision: 3, info: conntrackInfo(direction) })]),
    xtMatch("comment", { revision: 0, info: commentInfo(markText(mark)) }),
    { name: "counter", data: { bytes: 0n, packets: 0n } },
    verdictExpression({ code: "accept" }),
  ];
}

function xtMatch(name: string, { revision, info }: { revision: number; info: Uint8Array }): Expression {
  return { name: "match", data: { name, revision, info } };
}

/** linux/netfilter/xt_comment.h, struct xt_comment_info. */
const COMMENT_SIZE = 256;

function commentInfo(text: string): Uint8Array {
  return Buffer.concat([Buffer.from(text), Buffer.alloc(COMMENT_SIZE)]).subarray(0, COMMENT_SIZE);
}

function xtComment(expression: Expression): string | undefined {
  const found = asExpression(expression, "match");
  if (found?.name !== "comment" || found.info === undefined) return undefined;
  return Buffer.from(found.info).toString("utf8").replace(/\0.*$/s, "");
}

/** linux/netfilter/xt_conntrack.h: XT_CONNTRACK_STATE_BIT of IP_CT_ESTABLISHED and IP_CT_RELATED; XT_CONNTRACK_STATE_DNAT. */
const STATES = { "replies to": 0x2 | 0x4, "translated to": 0x80 } as const;

/** There too, struct xt_conntrack_mtinfo3, padded to 8 bytes: --ctstate RELATED,ESTABLISHED or DNAT. */
function conntrackInfo(direction: keyof typeof STATES): Uint8Array {
  const info = Buffer.alloc(168);
  info.writeUInt16LE(0x1, 146); // match_flags: XT_CONNTRACK_STATE
  info.writeUInt16LE(STATES[direction], 150); // state_mask
  return info;
}
