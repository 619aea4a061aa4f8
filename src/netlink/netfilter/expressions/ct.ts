import { attributes } from "../../attributes.ts";
import { be32, named, u8, type ValueOf } from "../../codec.ts";

/** enum nft_ct_keys, by the names of `nft --debug=netlink`. */
const KEYS = {
  state: 0,
  direction: 1,
  status: 2,
  mark: 3,
  l3protocol: 7,
  src: 8,
  dst: 9,
  protocol: 10,
  proto_src: 11,
  proto_dst: 12,
  zone: 17,
  src_ip: 19,
  dst_ip: 20,
  src_ip6: 21,
  dst_ip6: 22,
} as const;

/** enum nft_ct_attributes: what conntrack knows of the packet's connection, read to `dreg` or written from `sreg`. */
export const ct = attributes({
  key: [2, "NFTA_CT_KEY", named(be32, KEYS)],
  dreg: [1, "NFTA_CT_DREG", be32],
  direction: [3, "NFTA_CT_DIRECTION", named(u8, { original: 0, reply: 1 })],
  sreg: [4, "NFTA_CT_SREG", be32],
});

export function formatCt({ key, dreg, sreg, direction }: ValueOf<typeof ct>): string {
  if (sreg !== undefined) return `ct set ${key} with reg ${sreg}`;
  return `ct load ${key} => reg ${dreg}${direction === undefined ? "" : ` , dir ${direction}`}`;
}
