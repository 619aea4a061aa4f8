import { Prefix } from "../ip/prefix.ts";
import { flags } from "../netlink/connection.ts";
import { AF, addressFamily, RTM } from "../netlink/route/message-types.ts";
import { RT_TABLE } from "../netlink/route/route.ts";
import { type FibRuleMessage, FR_ACT_TO_TBL, fibRuleMessage, SUPPRESS_NOTHING } from "../netlink/route/rule.ts";
import { isErrno } from "../sys/errno.ts";
import { anywhere } from "./addresses.ts";
import type { NetworkNamespace } from "./namespace.ts";

/** A rule that says in which table routes are looked up for packets from some source. */
export interface Rule {
  readonly source: Prefix;
  readonly table: number;
  /** RTPROT_*: who made it. 0 where nobody said; so it is of all rules before Linux 4.17. */
  readonly protocol: number;
  /** Rules of lower numbers come first. */
  readonly priority: number;
  /** It looks at nothing but the source. */
  readonly plain: boolean;
}

/** This kernel looks all routes up in one table. */
export class NoRulesError extends Error {
  constructor(cause: unknown) {
    super("this kernel has no rules for routes: it needs CONFIG_IP_MULTIPLE_TABLES and CONFIG_IPV6_MULTIPLE_TABLES", { cause });
  }
}

/** The rules of both families. @throws NoRulesError */
export function listRules(namespace: NetworkNamespace): Rule[] {
  const body = fibRuleMessage.encode({ family: AF.UNSPEC });
  let replies: Uint8Array[];
  try {
    replies = namespace.netlink.dump({ type: RTM.GETRULE, body });
  } catch (error) {
    throw isErrno(error, "EOPNOTSUPP", "EAFNOSUPPORT") ? new NoRulesError(error) : error;
  }
  return replies
    .map((reply) => fibRuleMessage.decode(reply))
    .filter(({ family }) => family === AF.INET || family === AF.INET6) // multicast routing has rules, too
    .map(toRule);
}

/**
 * Adds a rule for one source; the kernel puts it before those that are there.
 * @throws NetlinkError EEXIST when the very same rule is there
 */
export function addRule(namespace: NetworkNamespace, rule: Pick<Rule, "source" | "table" | "protocol">): void {
  const body = fibRuleMessage.encode({ ...toMessage(rule), action: FR_ACT_TO_TBL });
  namespace.change(`ip ${familyWord(rule.source)}rule add ${words(rule)}`, () =>
    namespace.netlink.change({ type: RTM.NEWRULE, flags: flags.CREATE | flags.EXCL, body }),
  );
}

/** Deletes a rule; one that is not there is fine. */
export function deleteRule(namespace: NetworkNamespace, rule: Rule): void {
  const body = fibRuleMessage.encode({ ...toMessage(rule), priority: rule.priority });
  try {
    namespace.change(`ip ${familyWord(rule.source)}rule del pref ${rule.priority} ${words(rule)}`, () =>
      namespace.netlink.change({ type: RTM.DELRULE, body }),
    );
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

function toMessage({ source, table, protocol }: Pick<Rule, "source" | "table" | "protocol">): Partial<FibRuleMessage> {
  return {
    family: addressFamily(source.family),
    srcLength: source.length,
    src: source.address,
    table: table < 256 ? table : RT_TABLE.UNSPEC,
    tableId: table,
    // left out by a kernel or an iproute2 that does not know it, it is 0
    ...(protocol === 0 ? {} : { protocol }),
  };
}

function toRule(message: FibRuleMessage): Rule {
  const family = message.family === AF.INET ? 4 : 6;
  return {
    source: message.src === undefined ? anywhere(family) : new Prefix(message.src, message.srcLength),
    table: message.tableId ?? message.table,
    protocol: message.protocol ?? 0,
    priority: message.priority ?? 0,
    plain:
      message.action === FR_ACT_TO_TBL &&
      message.dstLength === 0 &&
      message.tos === 0 &&
      (message.suppressPrefixLength ?? SUPPRESS_NOTHING) === SUPPRESS_NOTHING &&
      [message.dst, message.inName, message.outName, message.mark, message.masterDevice].every((each) => each === undefined) &&
      message.unknownAttributes === undefined,
  };
}

function familyWord({ family }: Prefix): string {
  return family === 6 ? "-6 " : "";
}

function words({ source, table, protocol }: Pick<Rule, "source" | "table" | "protocol">): string {
  return `from ${source.address}/${source.length} table ${table}${protocol === 0 ? "" : ` protocol ${protocol}`}`;
}
