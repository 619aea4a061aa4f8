import { attributes } from "../../attributes.ts";
import { be32, type ValueOf } from "../../codec.ts";

/** enum nft_masq_attributes: the source becomes the address of the link the packet leaves by. */
export const masq = attributes({
  flags: [1, "NFTA_MASQ_FLAGS", be32],
});

export function formatMasq({ flags = 0 }: ValueOf<typeof masq>): string {
  return flags === 0 ? "masq" : `masq flags 0x${flags.toString(16)}`;
}
