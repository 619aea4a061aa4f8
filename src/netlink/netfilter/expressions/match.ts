import { attributes } from "../../attributes.ts";
import { be32, bytes, text, type ValueOf } from "../../codec.ts";

/** linux/netfilter/nf_tables_compat.h, enum nft_match_attributes: a match of x_tables inside a rule of nf_tables, as iptables-nft writes. */
export const match = attributes({
  name: [1, "NFTA_MATCH_NAME", text],
  revision: [2, "NFTA_MATCH_REV", be32],
  info: [3, "NFTA_MATCH_INFO", bytes],
});

export function formatMatch({ name, revision }: ValueOf<typeof match>): string {
  return `match name ${name} rev ${revision}`;
}
