import { CniError, codes } from "../cni/error.ts";
import type { AddCall } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";

/**
 * The result of the plugin before this one, which a type that works on its interface cannot do without.
 * @param action what cannot be done otherwise, in the infinitive: `map ports`
 * @throws CniError 7
 */
export function requireChained({ prevResult }: AddCall<unknown>, action: string): Result {
  if (prevResult !== undefined) return prevResult;
  throw new CniError(codes.invalidConfig, `Cannot ${action}: must be called as chained plugin: Required prevResult missing`, {
    details: 'the type stands in "plugins" behind the one that makes the interface',
  });
}
