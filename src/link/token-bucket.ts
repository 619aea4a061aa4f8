// How tbf, the kernel's token bucket filter (net/sched/sch_tbf.c), is told a rate. The numbers are those that the reference's plugin
// sets, rounding included, as far as they fit, so that each of the two recognises what the other made.

/** How fast a link may send: on average, and how much at once after a pause. */
export interface RateLimit {
  /** Bytes per second. */
  readonly rate: number;
  /** Bytes. */
  readonly burst: number;
}

/** The same in the kernel's terms. */
export interface TokenBucket {
  /** Bytes per second. */
  readonly rate: number;
  /** Bytes that may wait; what exceeds them is dropped. */
  readonly limit: number;
  /** The time that a burst takes at this rate, in ticks. May exceed what the kernel's attribute can say. */
  readonly buffer: number;
}

/** How long a packet may wait on top of the time that a whole burst takes. */
const LATENCY_US = 25_000;

/** PSCHED_SHIFT of include/net/pkt_sched.h: a tick is 64 ns. /proc/net/psched shows it, but it has not changed since Linux 2.6.31. */
const NS_PER_TICK = 64;

/** The kernel's attributes for limit and buffer have 32 bits. */
export const MAX_U32 = 0xffffffff;

export function tokenBucket({ rate, burst }: RateLimit): TokenBucket {
  const burstUs = Math.floor((burst * 1e6) / rate);
  return {
    rate,
    limit: Math.min(Math.floor((rate * LATENCY_US) / 1e6) + burst, MAX_U32),
    buffer: Math.floor((burstUs * 1000) / NS_PER_TICK),
  };
}

/** Whether the kernel can be told a burst as this time; else it is told the bytes, and computes the time itself. */
export function fitsBuffer(buffer: number): boolean {
  return buffer > 0 && buffer <= MAX_U32;
}

/**
 * Whether the kernel's bucket is the one wanted. What has more than 32 bits is compared by the lowest 32, which is what the kernel shows
 * of it and the reference sets; and where the kernel computes the time, it rounds otherwise.
 */
export function sameBucket(wanted: TokenBucket, shown: TokenBucket): boolean {
  const slack = fitsBuffer(wanted.buffer) ? 0 : 32 + wanted.buffer / 2 ** 28;
  const apart = (wanted.buffer - shown.buffer) % 2 ** 32;
  return (
    wanted.rate === shown.rate && wanted.limit === shown.limit && Math.min(Math.abs(apart), 2 ** 32 - Math.abs(apart)) <= slack
  );
}

/** In the words of tc. */
export function formatBucket({ rate, limit, buffer }: TokenBucket): string {
  const burst = Math.round((buffer * NS_PER_TICK * rate) / 1e9);
  return `rate ${rate * 8}bit burst ${burst} limit ${limit}`;
}
