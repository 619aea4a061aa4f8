import { attributes } from "../attributes.ts";
import { choose, text, type ValueOf } from "../codec.ts";
import { bitwise, formatBitwise } from "./expressions/bitwise.ts";
import { cmp, formatCmp } from "./expressions/cmp.ts";
import { counter, formatCounter } from "./expressions/counter.ts";
import { ct, formatCt } from "./expressions/ct.ts";
import { fib, formatFib } from "./expressions/fib.ts";
import { formatImmediate, immediate } from "./expressions/immediate.ts";
import { formatLookup, lookup } from "./expressions/lookup.ts";
import { formatMasq, masq } from "./expressions/masq.ts";
import { formatMatch, match } from "./expressions/match.ts";
import { formatMeta, meta } from "./expressions/meta.ts";
import { formatNat, nat } from "./expressions/nat.ts";
import { formatPayload, payload } from "./expressions/payload.ts";
import { formatReject, reject } from "./expressions/reject.ts";

const codecs = { meta, payload, cmp, bitwise, lookup, immediate, nat, masq, fib, ct, counter, reject, match } as const;

type Codecs = typeof codecs;

/** One instruction of a rule, by the name the kernel has for it. */
export type KnownExpression = { [N in keyof Codecs]: { readonly name: N; readonly data: ValueOf<Codecs[N]> } }[keyof Codecs];

/** An instruction this program has no codec for: its attributes as they are. */
export interface OtherExpression {
  readonly name: string;
  readonly data?: Uint8Array | undefined;
}

export type Expression = KnownExpression | OtherExpression;

/** enum nft_expr_attributes. */
const wire = attributes({
  name: [1, "NFTA_EXPR_NAME", text],
  data: [2, "NFTA_EXPR_DATA", choose("name", codecs)],
});

export const expression = {
  nested: true,
  encode: (value: Expression) => wire.encode(value as ValueOf<typeof wire>),
  decode: (bytes: Uint8Array) => wire.decode(bytes) as Expression,
} as const;

/** The expression where it is of this kind. */
export function asExpression<N extends keyof Codecs>(value: Expression, name: N): ValueOf<Codecs[N]> | undefined {
  return value.name === name && !(value.data instanceof Uint8Array) ? ((value.data ?? {}) as ValueOf<Codecs[N]>) : undefined;
}

/** As `nft --debug=netlink` prints it, without the brackets. */
export function formatExpression(value: Expression): string {
  if (value.data instanceof Uint8Array || !(value.name in codecs)) return value.name;
  const known = value as KnownExpression;
  switch (known.name) {
    case "meta":
      return formatMeta(known.data);
    case "payload":
      return formatPayload(known.data);
    case "cmp":
      return formatCmp(known.data);
    case "bitwise":
      return formatBitwise(known.data);
    case "lookup":
      return formatLookup(known.data);
    case "immediate":
      return formatImmediate(known.data);
    case "nat":
      return formatNat(known.data);
    case "masq":
      return formatMasq(known.data ?? {});
    case "fib":
      return formatFib(known.data);
    case "ct":
      return formatCt(known.data);
    case "counter":
      return formatCounter(known.data);
    case "reject":
      return formatReject(known.data);
    case "match":
      return formatMatch(known.data);
  }
}
