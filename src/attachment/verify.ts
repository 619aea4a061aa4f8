import type { Result } from "../cni/result.ts";
import { listAddresses } from "../link/addresses.ts";
import type { Link } from "../link/links.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { formatRoute, type LinkRoute, listRoutes } from "../link/routes.ts";
import { RT_TABLE } from "../netlink/route/route.ts";
import type { Failures } from "../support/errors.ts";
import { type Addressing, readAddressing } from "./addressing.ts";

/** Throws when a value is not as it should be; the message has both. */
export function expectSame(what: string, values: { expected: unknown; actual: unknown }): void {
  const { expected, actual } = values;
  if (expected !== actual) throw new Error(`${what} is ${show(actual)}, expected ${show(expected)}`);
}

function show(value: unknown): string {
  return value === undefined ? "missing" : typeof value === "string" ? `"${value}"` : String(value);
}

/** What of a result concerns the interface at this place in its list; addresses without a place concern every interface. */
export function addressingOf(result: Result, place: number): Addressing {
  return readAddressing({
    ...result,
    ips: (result.ips ?? []).filter((ip) => ip.interface === undefined || ip.interface === place),
  });
}

/** Every address of the plan is on the link. */
export function verifyAddresses(
  container: NetworkNamespace,
  link: Link,
  options: { plan: Addressing; failures: Failures },
): void {
  const present = listAddresses(container, link).map(({ prefix }) => prefix);
  for (const { prefix } of options.plan.addresses) {
    options.failures.attempt(`find address ${prefix}`, () => {
      if (present.some((other) => other.equals(prefix))) return;
      throw new Error(`"${link.name}" has ${present.length === 0 ? "no address" : present.join(", ")}`);
    });
  }
}

/**
 * Every route of the plan leads over the link, with its gateway and, where given, its metric. A route without a table of its own
 * may stand in any: later plugins of a chain (source routing, VRFs) move routes.
 */
export function verifyRoutes(container: NetworkNamespace, link: Link, options: { plan: Addressing; failures: Failures }): void {
  for (const family of [4, 6] as const) {
    const wanted = options.plan.routes.filter((route) => route.dst.family === family);
    if (wanted.length === 0) continue;
    const present = listRoutes(container, link, family);
    for (const route of wanted) {
      options.failures.attempt(`find route ${formatRoute(route)}`, () => {
        if (present.some((other) => isRoute(route, other))) return;
        throw new Error(`"${link.name}" has ${present.length === 0 ? "no route" : present.map(formatRoute).join(", ")}`);
      });
    }
  }
}

/** Whether a route that is there is the one that was wanted, as far as that says what it shall be like. */
export function isRoute(wanted: LinkRoute, present: LinkRoute): boolean {
  return (
    present.dst.equals(wanted.dst.network()) &&
    String(present.gateway) === String(wanted.gateway) &&
    (wanted.priority === undefined || wanted.priority === 0 || present.priority === wanted.priority) &&
    (wanted.table === undefined || wanted.table === 0 || (present.table ?? RT_TABLE.MAIN) === wanted.table)
  );
}
