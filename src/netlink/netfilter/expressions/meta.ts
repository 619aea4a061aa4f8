import { attributes } from "../../attributes.ts";
import { be32, named, type ValueOf } from "../../codec.ts";

/** enum nft_meta_keys, by the names of `nft --debug=netlink`. */
const KEYS = {
  len: 0,
  protocol: 1,
  priority: 2,
  mark: 3,
  iif: 4,
  oif: 5,
  iifname: 6,
  oifname: 7,
  iiftype: 8,
  oiftype: 9,
  nftrace: 12,
  nfproto: 15,
  l4proto: 16,
  bri_iifname: 17,
  bri_oifname: 18,
  pkttype: 19,
  iifgroup: 21,
  oifgroup: 22,
} as const;

/** enum nft_meta_attributes: what the kernel knows of a packet beside its bytes, read to `dreg` or written from `sreg`. */
export const meta = attributes({
  key: [2, "NFTA_META_KEY", named(be32, KEYS)],
  dreg: [1, "NFTA_META_DREG", be32],
  sreg: [3, "NFTA_META_SREG", be32],
});

export function formatMeta({ key, dreg, sreg }: ValueOf<typeof meta>): string {
  return sreg === undefined ? `meta load ${key} => reg ${dreg}` : `meta set ${key} with reg ${sreg}`;
}
