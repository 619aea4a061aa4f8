import { attributes } from "../../attributes.ts";
import { be64, type ValueOf } from "../../codec.ts";

/** enum nft_counter_attributes. */
export const counter = attributes({
  bytes: [1, "NFTA_COUNTER_BYTES", be64],
  packets: [2, "NFTA_COUNTER_PACKETS", be64],
});

export function formatCounter({ packets = 0n, bytes = 0n }: ValueOf<typeof counter>): string {
  return `counter pkts ${packets} bytes ${bytes}`;
}
