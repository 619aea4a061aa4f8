import { repeated } from "../attributes.ts";
import { be32, be64, text } from "../codec.ts";
import { type Expression, expression, formatExpression } from "./expression.ts";
import { familyName, NFPROTO, netfilterMessage } from "./message-types.ts";
import type { Statement } from "./statement.ts";
import { type Table, tableText } from "./table.ts";
import { comment } from "./userdata.ts";

/** A rule to be made. */
export interface Rule {
  readonly table: Table;
  readonly chain: string;
  readonly statements: readonly Statement[];
  readonly comment?: string | undefined;
}

/** A rule the kernel has. */
export interface RuleEntry {
  readonly table: Table;
  readonly chain: string;
  readonly handle: bigint;
  readonly expressions: readonly Expression[];
  readonly comment: string | undefined;
}

/** enum nft_rule_attributes. */
export const ruleMessage = netfilterMessage({
  table: [1, "NFTA_RULE_TABLE", text],
  chain: [2, "NFTA_RULE_CHAIN", text],
  handle: [3, "NFTA_RULE_HANDLE", be64],
  expressions: [4, "NFTA_RULE_EXPRESSIONS", repeated<Expression>(1, "NFTA_LIST_ELEM", expression)],
  /** The handle of the rule to stand behind, or before where the new one is inserted. */
  position: [6, "NFTA_RULE_POSITION", be64],
  comment: [7, "NFTA_RULE_USERDATA", comment],
  id: [9, "NFTA_RULE_ID", be32],
});

/** What stands after `add rule`: `inet podlink postrouting ip saddr @pods masquerade comment "x"`. */
export function describeRule(rule: Rule, position?: bigint): string {
  const words = [tableText(rule.table), rule.chain];
  if (position !== undefined) words.push(`handle ${position}`);
  words.push(...rule.statements.map((statement) => statement.text));
  if (rule.comment !== undefined) words.push(`comment "${rule.comment}"`);
  return words.join(" ");
}

export function encodeRule(
  rule: Pick<Rule, "table" | "chain" | "comment">,
  expressions: readonly Expression[],
  options: { position?: bigint | undefined } = {},
): Uint8Array {
  return ruleMessage.encode({
    family: NFPROTO[rule.table.family],
    table: rule.table.name,
    chain: rule.chain,
    position: options.position,
    expressions: [...expressions],
    comment: rule.comment,
  });
}

export function decodeRule(body: Uint8Array): RuleEntry {
  const message = ruleMessage.decode(body);
  return {
    table: { family: familyName(message.family), name: message.table ?? "" },
    chain: message.chain ?? "",
    handle: message.handle ?? 0n,
    expressions: message.expressions ?? [],
    comment: message.comment === "" ? undefined : message.comment,
  };
}

/** What a rule is known by; its expressions, most of the message, are not looked at. */
const ruleLabel = netfilterMessage({ chain: [2, "NFTA_RULE_CHAIN", text], comment: [7, "NFTA_RULE_USERDATA", comment] });

export function decodeRuleLabel(body: Uint8Array): Pick<RuleEntry, "chain" | "comment"> {
  const { chain = "", comment: label } = ruleLabel.decode(body);
  return { chain, comment: label === "" ? undefined : label };
}

/** One line for each expression, as `nft --debug=netlink` prints them. */
export function formatExpressions(expressions: readonly Expression[]): string {
  return expressions.map((each) => `[ ${formatExpression(each)} ]`).join("\n");
}
