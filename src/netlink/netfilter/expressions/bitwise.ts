import { attributes } from "../../attributes.ts";
import { be32, type ValueOf } from "../../codec.ts";
import { data, formatWords } from "../data.ts";

/** enum nft_bitwise_attributes: `dreg = (sreg & mask) ^ xor`, which is the operation where none is named. */
export const bitwise = attributes({
  sreg: [1, "NFTA_BITWISE_SREG", be32],
  dreg: [2, "NFTA_BITWISE_DREG", be32],
  op: [6, "NFTA_BITWISE_OP", be32],
  length: [3, "NFTA_BITWISE_LEN", be32],
  mask: [4, "NFTA_BITWISE_MASK", data],
  xor: [5, "NFTA_BITWISE_XOR", data],
});

export function formatBitwise({ sreg, dreg, mask, xor }: ValueOf<typeof bitwise>): string {
  const none = new Uint8Array();
  return `bitwise reg ${dreg} = ( reg ${sreg} & ${formatWords(mask?.value ?? none)} ) ^ ${formatWords(xor?.value ?? none)}`;
}
