import { DATA_TYPES } from "../data-types.ts";
import type { Expression } from "../expression.ts";
import { LOOKUP_INVERT } from "../expressions/lookup.ts";
import { FIRST_REGISTER, registerAt, slotsOf, VERDICT_REGISTER } from "../registers.ts";
import type { RuleContext } from "../rule-context.ts";
import { type SelectorName, selector } from "../selectors.ts";
import { anonymousSet, type NftSet } from "../set.ts";
import type { Statement } from "../statement.ts";
import { formatFields, isRange, type Value } from "../values.ts";
import { requirements } from "./match.ts";

/** The fields are (or, with `not`, are not) an element of the set. */
export function inSet(names: readonly SelectorName[], set: NftSet, options: { not?: boolean } = {}): Statement {
  const { not = false } = options;
  return {
    text: `${fieldsText(names)} ${not ? "!= " : ""}@${set.name}`,
    compile: (context) => [
      ...loadKey(context, names),
      { name: "lookup", data: { sreg: FIRST_REGISTER, set: set.name, flags: not ? LOOKUP_INVERT : undefined } },
    ],
  };
}

/** The field is (or, with `not`, is not) one of these values, or in one of these prefixes, which must not overlap: a set without a name. */
export function oneOf(name: SelectorName, values: readonly Value[], options: { not?: boolean } = {}): Statement {
  const { not = false } = options;
  const { type, text } = selector(name);
  return {
    text: `${text} ${not ? "!= " : ""}{ ${values.map((value) => formatFields([type], [value])).join(", ")} }`,
    compile(context) {
      const set = anonymousSet(context.table, [type], { interval: values.some(isRange) });
      const setId = context.bring(
        set,
        values.map((value) => ({ key: [value] })),
      );
      const flags = not ? LOOKUP_INVERT : undefined;
      return [...loadKey(context, [name]), { name: "lookup", data: { sreg: FIRST_REGISTER, set: set.name, setId, flags } }];
    },
  };
}

/** Takes the verdict that the map has for the fields; goes on with the next rule where it has none. */
export function verdictMap(names: readonly SelectorName[], map: NftSet): Statement {
  return {
    text: `${fieldsText(names)} vmap @${map.name}`,
    compile: (context) => [...loadKey(context, names), lookupTo(VERDICT_REGISTER, map)],
  };
}

/** Loads the fields to the first registers and the data the map has for them over them; leaves the rule where it has none. */
export function loadFromMap(context: RuleContext, names: readonly SelectorName[], map: NftSet): Expression[] {
  return [...loadKey(context, names), lookupTo(FIRST_REGISTER, map)];
}

/** `meta l4proto . th dport`. */
export function fieldsText(names: readonly SelectorName[]): string {
  return names.map((name) => selector(name).text).join(" . ");
}

function lookupTo(dreg: number, map: NftSet): Expression {
  return { name: "lookup", data: { sreg: FIRST_REGISTER, dreg, set: map.name } };
}

function loadKey(context: RuleContext, names: readonly SelectorName[]): Expression[] {
  const fields = names.map(selector);
  const needed = fields.flatMap((field) => requirements(context, field));
  let slot = 0;
  const loads = fields.map((field) => {
    const load = field.load(registerAt(slot));
    slot += slotsOf(DATA_TYPES[field.type].size);
    return load;
  });
  return [...needed, ...loads];
}
