import { attributes } from "../../attributes.ts";
import { be32, text, type ValueOf } from "../../codec.ts";

/** NFT_LOOKUP_F_INV: goes on when the key is not there. */
export const LOOKUP_INVERT = 1;

/** enum nft_lookup_attributes: finds the key at `sreg` in a set; a map's data goes to `dreg` (0: a verdict, which is taken). */
export const lookup = attributes({
  sreg: [2, "NFTA_LOOKUP_SREG", be32],
  dreg: [3, "NFTA_LOOKUP_DREG", be32],
  set: [1, "NFTA_LOOKUP_SET", text],
  setId: [4, "NFTA_LOOKUP_SET_ID", be32],
  flags: [5, "NFTA_LOOKUP_FLAGS", be32],
});

export function formatLookup({ set, sreg, dreg, flags = 0 }: ValueOf<typeof lookup>): string {
  const target = dreg === undefined ? "" : ` dreg ${dreg}`;
  return `lookup reg ${sreg} set ${set}${target}${flags === 0 ? "" : ` 0x${flags.toString(16)}`}`;
}
