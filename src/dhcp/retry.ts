import type { Timing } from "./client-events.ts";

// How long to wait for an answer before asking again.

/** The reference's first pauses; RFC 2131 section 4.1 starts with 4 s, which an ADD that somebody waits for does not have. */
const FIRST_PAUSES = [2000, 2000, 2000, 2000, 4000, 8000, 16_000, 32_000];
const JITTER = 1000;

/**
 * The pause after a DISCOVER or REQUEST, ± a second so that clients which started together spread out. Milliseconds.
 * @param tries how many were sent, from 1
 */
export function retryPause(tries: number, options: { readonly timing: Timing; readonly random: () => number }): number {
  const { timing, random } = options;
  const pause = Math.min(FIRST_PAUSES[tries - 1] ?? timing.resendMax, timing.resendMax);
  return pause + (random() * 2 - 1) * Math.min(JITTER, pause / 2);
}

const MIN_RENEW_PAUSE = 60_000;

/**
 * The pause while renewing or rebinding: half of what is left, at least a minute (RFC 2131 section 4.4.5);
 * where the whole phase is short, at least a quarter of that. Milliseconds, never beyond `until`.
 */
export function renewPause(now: number, phase: { readonly since: number; readonly until: number }): number {
  const left = Math.max(phase.until - now, 0);
  return Math.min(left, Math.max(left / 2, Math.min(MIN_RENEW_PAUSE, (phase.until - phase.since) / 4)));
}
