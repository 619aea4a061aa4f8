import { attributes, messageFormat, type StructOf, struct } from "../attributes.ts";
import { bytes, type Codec, choose, i32, text, u8, u16, u32, u64 } from "../codec.ts";

// Queueing disciplines: linux/rtnetlink.h (struct tcmsg, TCA_*), linux/pkt_sched.h (TCA_TBF_*).

/** The header of every message of traffic control. */
export const tcmsg = { family: u8, pad1: u8, pad2: u16, index: i32, handle: u32, parent: u32, info: u32 };

/** linux/pkt_sched.h, TC_H_*: places of a link at which a qdisc or filter stands. */
export const TC_H = {
  /** As the parent of a qdisc: what the link sends goes through it. */
  ROOT: 0xffffffff,
  /** As the parent of a qdisc `ingress` or `clsact`: what the link receives passes it. */
  INGRESS: 0xfffffff1,
  /** As the parent of a filter: the ingress side of either of the two. */
  MIN_INGRESS: 0xfffffff2,
} as const;

/** `1:` or `ffff:` as a number. */
export function handleOf(major: number): number {
  return (major << 16) >>> 0;
}

/** linux/pkt_sched.h, TC_LINKLAYER_ETHERNET: with it the kernel computes what a packet costs, and needs no rate table. */
export const TC_LINKLAYER_ETHERNET = 1;

/** struct tc_tbf_qopt, with a struct tc_ratespec for the rate and one for the peak rate. */
const tbfFields = {
  cellLog: u8,
  linkLayer: u8,
  overhead: u16,
  cellAlign: u16,
  mpu: u16,
  /** Bytes per second; all ones when `rate64` has it. */
  rate: u32,
  peakCellLog: u8,
  peakLinkLayer: u8,
  peakOverhead: u16,
  peakCellAlign: u16,
  peakMpu: u16,
  peakRate: u32,
  /** Bytes that may wait. */
  limit: u32,
  /** The time that a burst takes at this rate, in ticks of 64 ns. */
  buffer: u32,
  mtu: u32,
};
const tbfParameters: Codec<Partial<StructOf<typeof tbfFields>>> = struct(tbfFields);

/** TCA_TBF_*, in the order of tc. */
const tbfOptions = attributes({
  parameters: [1, "TCA_TBF_PARMS", tbfParameters],
  /** Bytes; instead of `buffer`, which cannot say more than 274 s. The kernel never tells it. */
  burst: [6, "TCA_TBF_BURST", u32],
  rate64: [4, "TCA_TBF_RATE64", u64],
  /** What a packet of each size costs: for kernels before 3.9, which computed nothing themselves. */
  rateTable: [2, "TCA_TBF_RTAB", bytes],
});

/** RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC. */
export const qdiscMessage = messageFormat(tcmsg, {
  kind: [1, "TCA_KIND", text],
  options: [2, "TCA_OPTIONS", choose("kind", { tbf: tbfOptions })],
});

export type QdiscMessage = ReturnType<typeof qdiscMessage.decode>;
