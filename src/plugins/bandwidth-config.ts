import { type InferOutput, integer, maxValue, minValue, number, object, optional, pipe } from "valibot";
import type { Limits } from "../attachment/shaping.ts";
import { CniError, codes } from "../cni/error.ts";
import type { ConfigContext } from "../cni/plugin.ts";
import { MAX_U32, type RateLimit } from "../link/token-bucket.ts";

/** Keys of type `bandwidth`, and of the capability of that name: bits per second and bits, seen from the container. */
export function rates() {
  // Go's uint64; what a double cannot say exactly is beyond any link's speed
  const uint64 = pipe(number(), integer(), minValue(0), maxValue(2 ** 64));
  return object({
    ingressRate: optional(uint64),
    ingressBurst: optional(uint64),
    egressRate: optional(uint64),
    egressBurst: optional(uint64),
  });
}

/** The keys of type `bandwidth`, as the reference has them. */
export function bandwidthSchema() {
  const asked = rates();
  return object({ ...asked.entries, runtimeConfig: optional(object({ bandwidth: optional(asked) })) });
}

type Keys = InferOutput<ReturnType<typeof bandwidthSchema>>;

/** What the verbs of type `bandwidth` work with. */
export interface BandwidthConfig extends Limits {
  /** The limits are the configuration's, not the runtime's: every container of the network has them. */
  readonly fixed: boolean;
}

/** Any key of the configuration keeps the runtime's wishes from being looked at. @throws CniError 7 unless it is to clear away */
export function resolveBandwidth(keys: Keys, { command }: ConfigContext): BandwidthConfig {
  const fixed = [keys.ingressRate, keys.ingressBurst, keys.egressRate, keys.egressBurst].some((value) => value !== undefined);
  // What an ADD with other rates left must still go away
  if (command === "DEL" || command === "GC") return { fixed, ingress: undefined, egress: undefined };
  return { fixed, ...readLimits(fixed ? keys : (keys.runtimeConfig?.bandwidth ?? {})) };
}

/** The reference's conditions, in its words. @throws CniError 7 */
function readLimits(asked: InferOutput<ReturnType<typeof rates>>): Limits {
  return {
    ingress: readLimit("ingress", { rate: asked.ingressRate, burst: asked.ingressBurst }),
    egress: readLimit("egress", { rate: asked.egressRate, burst: asked.egressBurst }),
  };
}

function readLimit(
  direction: "ingress" | "egress",
  { rate = 0, burst = 0 }: { rate: number | undefined; burst: number | undefined },
): RateLimit | undefined {
  if (rate === 0 && burst === 0) return undefined;
  const given = `"${direction}Rate" is ${rate}, "${direction}Burst" is ${burst}`;
  if (burst === 0) throw invalid("if rate is set, burst must also be set", given);
  if (rate === 0) throw invalid("if burst is set, rate must also be set", given);
  const limit = { rate: Math.floor(rate / 8), burst: Math.floor(burst / 8) };
  if (limit.burst >= MAX_U32) throw invalid("burst cannot be more than 4GB", `${given} bits`);
  if (limit.rate === 0 || limit.burst === 0) throw invalid("rate and burst are in bits, and at least 8", given);
  return limit;
}

function invalid(why: string, details: string): CniError {
  return new CniError(codes.invalidConfig, `Cannot use network configuration: ${why}`, { details });
}
