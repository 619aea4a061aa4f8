import { attributes } from "../../attributes.ts";
import { be32, named, type ValueOf } from "../../codec.ts";
import { data, formatWords } from "../data.ts";

/** enum nft_cmp_ops. */
const OPERATORS = { eq: 0, neq: 1, lt: 2, lte: 3, gt: 4, gte: 5 } as const;

/** enum nft_cmp_attributes: goes on with the rule when the register compares so. */
export const cmp = attributes({
  sreg: [1, "NFTA_CMP_SREG", be32],
  op: [2, "NFTA_CMP_OP", named(be32, OPERATORS)],
  data: [3, "NFTA_CMP_DATA", data],
});

export function formatCmp({ sreg, op, data: operand }: ValueOf<typeof cmp>): string {
  return `cmp ${op} reg ${sreg} ${formatWords(operand?.value ?? new Uint8Array())}`;
}
