import { attributes } from "../../attributes.ts";
import { be32, named, u8, type ValueOf } from "../../codec.ts";

/** enum nft_reject_attributes. The codes of icmpx: 0 no route, 1 port, 2 host unreachable, 3 forbidden by an administrator. */
export const reject = attributes({
  type: [1, "NFTA_REJECT_TYPE", named(be32, { icmp: 0, "tcp reset": 1, icmpx: 2 })],
  code: [2, "NFTA_REJECT_ICMP_CODE", u8],
});

export function formatReject({ type, code = 0 }: ValueOf<typeof reject>): string {
  const number = { icmp: 0, "tcp reset": 1, icmpx: 2 }[String(type)] ?? type;
  return `reject type ${number} code ${code}`;
}
