import { attributes } from "../attributes.ts";
import { be32Signed, bytes, named, text, type ValueOf } from "../codec.ts";

/** linux/netfilter.h NF_*, linux/netfilter/nf_tables.h NFT_*. */
const VERDICTS = { drop: 0, accept: 1, queue: 3, continue: -1, break: -2, jump: -3, goto: -4, return: -5 } as const;

/** enum nft_verdict_attributes. */
const verdictCodec = attributes({
  code: [1, "NFTA_VERDICT_CODE", named(be32Signed, VERDICTS)],
  chain: [2, "NFTA_VERDICT_CHAIN", text],
});

/** What becomes of a packet; jump and goto name a chain. */
export interface Verdict {
  readonly code: keyof typeof VERDICTS | number;
  readonly chain?: string | undefined;
}

/** enum nft_data_attributes: bytes or a verdict. */
export const data = attributes({
  value: [1, "NFTA_DATA_VALUE", bytes],
  verdict: [2, "NFTA_DATA_VERDICT", verdictCodec],
});

export type Data = ValueOf<typeof data>;

/** As nft writes it: `accept`, `jump other`. */
export function formatVerdict(verdict: Verdict): string {
  return verdict.chain === undefined ? `${verdict.code}` : `${verdict.code} ${verdict.chain}`;
}

/** As libnftnl prints values: words of 32 bits as the host reads them. */
export function formatWords(value: Uint8Array): string {
  const padded = Buffer.concat([value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
  const words: string[] = [];
  for (let at = 0; at < padded.length; at += 4) words.push(`0x${padded.readUInt32LE(at).toString(16).padStart(8, "0")}`);
  return words.join(" ");
}
