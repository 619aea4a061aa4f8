import { Prefix } from "../../../ip/prefix.ts";
import { DATA_TYPES, type Scalar } from "../data-types.ts";
import type { Expression } from "../expression.ts";
import { FIRST_REGISTER as REGISTER } from "../registers.ts";
import type { RuleContext } from "../rule-context.ts";
import { type Selector, type SelectorName, selector } from "../selectors.ts";
import type { Statement } from "../statement.ts";
import { formatFields, isRange, type Value } from "../values.ts";

type Operator = "eq" | "neq" | "gte" | "lte";

/** The field is (or, with `not`, is not) this value, in this prefix or this range; `veth*` is any link whose name starts so. */
export function match(name: SelectorName, value: Value, options: { not?: boolean } = {}): Statement {
  const field = selector(name);
  const { not = false } = options;
  return {
    text: `${field.text} ${not ? "!= " : ""}${formatFields([field.type], [value])}`,
    compile(context) {
      const needed = requirements(context, field);
      const dependency = typeof value === "string" && !not ? field.teaches?.[value] : undefined;
      if (dependency !== undefined) context.learn(dependency);
      return [...needed, ...comparison(field, value, not)];
    },
  };
}

/** `meta mark & mask == value`. */
export function masked(name: "meta mark" | "ct mark", options: { mask: number; value: number; not?: boolean }): Statement {
  const { mask, value, not = false } = options;
  const field = selector(name);
  const hex = DATA_TYPES.mark.format;
  return {
    text: `${field.text} & ${hex(mask)} ${not ? "!=" : "=="} ${hex(value)}`,
    compile: () => [
      field.load(REGISTER),
      masking(DATA_TYPES.mark.encode(mask)),
      compare(not ? "neq" : "eq", DATA_TYPES.mark.encode(value)),
    ],
  };
}

/** One of these bits is set: `ct status dnat`, `ct state established,related`; with `not`, none of them. */
export function flagged(name: "ct state" | "ct status", bits: readonly string[], options: { not?: boolean } = {}): Statement {
  const field = selector(name);
  const type = DATA_TYPES[field.type];
  const { not = false } = options;
  const zero = new Uint8Array(type.size);
  return {
    text: `${field.text} ${not ? "! " : ""}${bits.join(",")}`,
    compile: () => [
      field.load(REGISTER),
      masking(bits.map((bit) => type.encode(bit)).reduce((all, each) => all.map((byte, at) => byte | (each[at] ?? 0)), zero)),
      compare(not ? "eq" : "neq", zero),
    ],
  };
}

/** What must be known of the packet before the field is looked at. */
export function requirements(context: RuleContext, field: Selector): Expression[] {
  return field.needs === undefined ? [] : context.require(field.needs);
}

function comparison(field: Selector, value: Value, not: boolean): Expression[] {
  if (value instanceof Prefix) return prefixComparison(field, value, not);
  const type = DATA_TYPES[field.type];
  if (isRange(value)) {
    if (not) throw new RangeError(`Cannot compare ${field.text} with what is outside a range`);
    return [field.load(REGISTER), compare("gte", type.encode(value.first)), compare("lte", type.encode(value.last))];
  }
  return [field.load(REGISTER), compare(not ? "neq" : "eq", operand(field, value))];
}

function operand(field: Selector, value: Scalar): Uint8Array {
  if (field.type !== "ifname" || typeof value !== "string" || !value.endsWith("*")) return DATA_TYPES[field.type].encode(value);
  return Buffer.from(value.slice(0, -1)); // without the NUL: the start of the name alone is compared
}

/** As nft does: whole bytes of a field that can be cut, else the bits of the mask. */
function prefixComparison(field: Selector, prefix: Prefix, not: boolean): Expression[] {
  const network = prefix.first().toBytes();
  const op = not ? "neq" : "eq";
  if (prefix.length === network.length * 8) return [field.load(REGISTER), compare(op, network)];
  if (field.cuttable === true && prefix.length % 8 === 0 && prefix.length > 0) {
    const bytes = prefix.length / 8;
    return [field.load(REGISTER, bytes), compare(op, network.subarray(0, bytes))];
  }
  const mask = new Uint8Array(network.length).map((_, at) => 0xff << Math.max(0, 8 - Math.max(0, prefix.length - at * 8)));
  return [field.load(REGISTER), masking(mask), compare(op, network)];
}

function compare(op: Operator, value: Uint8Array): Expression {
  return { name: "cmp", data: { sreg: REGISTER, op, data: { value } } };
}

function masking(mask: Uint8Array): Expression {
  const data = { sreg: REGISTER, dreg: REGISTER, length: mask.length, mask: { value: mask } };
  return { name: "bitwise", data: { ...data, xor: { value: new Uint8Array(mask.length) } } };
}
