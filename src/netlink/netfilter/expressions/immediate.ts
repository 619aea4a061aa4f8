import { attributes } from "../../attributes.ts";
import { be32, type ValueOf } from "../../codec.ts";
import { data, formatWords } from "../data.ts";

/** enum nft_immediate_attributes: puts a value into a register; a verdict into register 0. */
export const immediate = attributes({
  dreg: [1, "NFTA_IMMEDIATE_DREG", be32],
  data: [2, "NFTA_IMMEDIATE_DATA", data],
});

export function formatImmediate({ dreg, data: value }: ValueOf<typeof immediate>): string {
  const { verdict } = value ?? {};
  if (verdict === undefined) return `immediate reg ${dreg} ${formatWords(value?.value ?? new Uint8Array())}`;
  return `immediate reg ${dreg} ${verdict.code}${verdict.chain === undefined ? "" : ` -> ${verdict.chain}`}`;
}
