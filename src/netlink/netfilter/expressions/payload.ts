import { attributes } from "../../attributes.ts";
import { be32, named, type ValueOf } from "../../codec.ts";

/** enum nft_payload_bases, by the names of `nft --debug=netlink`. */
const BASES = { link: 0, network: 1, transport: 2, inner: 3 } as const;

/** enum nft_payload_attributes: bytes of the packet. */
export const payload = attributes({
  dreg: [1, "NFTA_PAYLOAD_DREG", be32],
  base: [2, "NFTA_PAYLOAD_BASE", named(be32, BASES)],
  offset: [3, "NFTA_PAYLOAD_OFFSET", be32],
  length: [4, "NFTA_PAYLOAD_LEN", be32],
});

export function formatPayload({ dreg, base, offset, length }: ValueOf<typeof payload>): string {
  return `payload load ${length}b @ ${base} header + ${offset} => reg ${dreg}`;
}
