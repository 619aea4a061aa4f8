import { attributes } from "../../attributes.ts";
import { be32, named, type ValueOf } from "../../codec.ts";

/** linux/netfilter/nf_nat.h, NF_NAT_RANGE_*. */
export const NAT_RANGE = { PROTO_SPECIFIED: 0x2, PERSISTENT: 0x8, PROTO_RANDOM_FULLY: 0x10 } as const;

/** enum nft_nat_attributes: the new address and port come from registers. */
export const nat = attributes({
  type: [1, "NFTA_NAT_TYPE", named(be32, { snat: 0, dnat: 1 })],
  family: [2, "NFTA_NAT_FAMILY", named(be32, { ip: 2, ip6: 10 })],
  addressMin: [3, "NFTA_NAT_REG_ADDR_MIN", be32],
  addressMax: [4, "NFTA_NAT_REG_ADDR_MAX", be32],
  protoMin: [5, "NFTA_NAT_REG_PROTO_MIN", be32],
  protoMax: [6, "NFTA_NAT_REG_PROTO_MAX", be32],
  flags: [7, "NFTA_NAT_FLAGS", be32],
});

export function formatNat(value: ValueOf<typeof nat>): string {
  const words = [`nat ${value.type} ${value.family}`];
  if (value.addressMin !== undefined) words.push(`addr_min reg ${value.addressMin}`);
  if (value.addressMax !== undefined && value.addressMax !== value.addressMin) words.push(`addr_max reg ${value.addressMax}`);
  if (value.protoMin !== undefined) words.push(`proto_min reg ${value.protoMin}`);
  if (value.protoMax !== undefined && value.protoMax !== value.protoMin) words.push(`proto_max reg ${value.protoMax}`);
  if (value.flags !== undefined && value.flags !== 0) words.push(`flags 0x${value.flags.toString(16)}`);
  return words.join(" ");
}
