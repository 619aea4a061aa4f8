import { CniError, codes } from "../cni/error.ts";
import type { AddCall, DelCall } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { Prefix } from "../ip/prefix.ts";
import { listAddresses } from "../link/addresses.ts";
import type { Link } from "../link/links.ts";
import type { NetworkNamespace } from "../link/namespace.ts";

const LINK_LOCAL = Prefix.parse("fe80::/10");

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

/**
 * Whether an interface that DEL finds is another container's, which has got the namespace since: it has addresses, and none of those that
 * the ADD told of. Where there is no result nothing says so.
 */
export function isAnothers(
  container: NetworkNamespace,
  link: Link | undefined,
  { prevResult }: Pick<DelCall<unknown>, "prevResult">,
): boolean {
  const ips = prevResult?.ips ?? [];
  if (link === undefined || ips.length === 0) return false;
  const given = new Set(ips.map(({ address }) => String(Prefix.parse(address).address)));
  const found = listAddresses(container, link).filter(({ prefix }) => !LINK_LOCAL.contains(prefix.address));
  return found.length > 0 && !found.some(({ prefix }) => given.has(String(prefix.address)));
}
