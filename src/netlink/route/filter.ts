import { attributes, messageFormat, type StructOf, struct } from "../attributes.ts";
import { be16, be32, type Codec, choose, i32, text, u8, u16, u32 } from "../codec.ts";
import { actions } from "./action.ts";
import { tcmsg } from "./qdisc.ts";

// Filters: linux/pkt_cls.h (TCA_U32_*, struct tc_u32_sel).

const headerFields = {
  flags: u8,
  offsetShift: u8,
  keyCount: u8,
  pad: u8,
  offsetMask: be16,
  offset: u16,
  offsetFrom: u16,
  hashFrom: u16,
  hashMask: be32,
};
const selectorHeader = struct(headerFields);

/** struct tc_u32_key: four bytes of the packet, as they are after the mask. */
const keyFields = { mask: be32, value: be32, offset: i32, offsetMask: i32 };
const selectorKey = struct(keyFields);

interface Selector extends Partial<Omit<StructOf<typeof headerFields>, "keyCount">> {
  readonly keys: readonly Partial<StructOf<typeof keyFields>>[];
}

/** struct tc_u32_sel: which packets; those that have every key. */
const selector: Codec<Selector> = {
  encode({ keys, ...header }) {
    const parts = keys.map((key) => selectorKey.encode(key));
    return Buffer.concat([selectorHeader.encode({ ...header, keyCount: keys.length }), ...parts]);
  },
  decode(bytes) {
    const { keyCount = 0, ...header } = selectorHeader.decode(bytes);
    const start = (place: number) => selectorHeader.size + place * selectorKey.size;
    const keys = Array.from({ length: keyCount }, (_, place) => selectorKey.decode(bytes.subarray(start(place))));
    return { ...header, keys };
  },
};

/** linux/pkt_cls.h, TC_U32_TERMINAL: a packet that matches is not shown to further filters. */
export const U32_TERMINAL = 1;

/** TCA_U32_*, in the order of tc. */
const u32Options = attributes({
  classId: [1, "TCA_U32_CLASSID", u32],
  hash: [2, "TCA_U32_HASH", u32],
  actions: [7, "TCA_U32_ACT", actions],
  selector: [5, "TCA_U32_SEL", selector],
});

/** RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER. */
export const filterMessage = messageFormat(tcmsg, {
  kind: [1, "TCA_KIND", text],
  options: [2, "TCA_OPTIONS", choose("kind", { u32: u32Options })],
  chain: [11, "TCA_CHAIN", u32],
});

export type FilterMessage = ReturnType<typeof filterMessage.decode>;

/** linux/if_ether.h: packets of every protocol. */
export const ETH_P_ALL = 0x0003;

/** `tcm_info` of a filter: its priority, and its protocol in network order. */
export function filterInfo(priority: number, protocol: number): number {
  return ((priority << 16) | ((protocol & 0xff) << 8) | (protocol >> 8)) >>> 0;
}
