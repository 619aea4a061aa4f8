import { attributes } from "../../attributes.ts";
import { be32, named, type ValueOf } from "../../codec.ts";

/** enum nft_fib_flags. */
export const FIB_FLAG = { saddr: 1, daddr: 2, mark: 4, iif: 8, oif: 16 } as const;

/** enum nft_fib_attributes: what the routing table says of an address. */
export const fib = attributes({
  flags: [3, "NFTA_FIB_FLAGS", be32],
  result: [2, "NFTA_FIB_RESULT", named(be32, { oif: 1, oifname: 2, type: 3 })],
  dreg: [1, "NFTA_FIB_DREG", be32],
});

export function formatFib({ dreg, result, flags = 0 }: ValueOf<typeof fib>): string {
  const names = Object.entries(FIB_FLAG).flatMap(([name, bit]) => ((flags & bit) === 0 ? [] : [name]));
  return `fib ${names.join(" . ")} ${result} => reg ${dreg}`;
}
