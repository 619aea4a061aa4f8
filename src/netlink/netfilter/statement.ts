import type { Expression } from "./expression.ts";
import type { RuleContext } from "./rule-context.ts";

/** A part of a rule: nft's words for it and the expressions it becomes. statements/*.ts make them. */
export interface Statement {
  readonly text: string;
  compile(context: RuleContext): Expression[];
}

/** Expressions with words of one's own for them. */
export function raw(text: string, expressions: readonly Expression[]): Statement {
  return { text, compile: () => [...expressions] };
}
