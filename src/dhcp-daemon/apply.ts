import { readAddressing } from "../attachment/addressing.ts";
import type { Result } from "../cni/result.ts";
import { addAddress, deleteAddress, listAddresses } from "../link/addresses.ts";
import { addRoute, deleteRoute, type LinkRoute } from "../link/routes.ts";
import { isErrno } from "../sys/errno.ts";
import { OpenPlace, type Place, type PlaceIdentity } from "./place.ts";

/**
 * Puts what a server has changed on a container's interface: addresses and routes of the old lease that the new one does not have go,
 * the others come. What else is on the interface stays.
 * @param change.before undefined: nothing is there; `after` undefined: nothing is to be there
 * @returns the changes as commands
 * @throws LinkGoneError
 */
export function applyLease(
  place: Place,
  change: { expected: PlaceIdentity; before: Result | undefined; after: Result | undefined },
): string[] {
  using open = OpenPlace.open(place, change.expected);
  const { namespace, link, steps } = open;
  const before = readAddressing(change.before ?? {});
  const after = readAddressing(change.after ?? {});
  const keeps = (route: LinkRoute) => after.routes.some((other) => sameRoute(route, other));
  for (const route of before.routes) if (!keeps(route)) deleteRoute(namespace, link, route);
  for (const { prefix } of before.addresses) {
    if (!after.addresses.some((other) => other.prefix.equals(prefix))) deleteAddress(namespace, link, prefix);
  }
  const present = listAddresses(namespace, link, 4).map(({ prefix }) => prefix);
  for (const { prefix } of after.addresses) {
    if (!present.some((other) => other.equals(prefix))) addAddress(namespace, link, { prefix });
  }
  // The kernel takes all routes away with a link's last address, so those that stay are added again where they are missing
  for (const route of after.routes) {
    try {
      addRoute(namespace, link, route);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
    }
  }
  return steps.list.filter(({ error }) => error === undefined).map(({ command }) => command);
}

function sameRoute(left: LinkRoute, right: LinkRoute): boolean {
  return (
    left.dst.equals(right.dst) &&
    String(left.gateway) === String(right.gateway) &&
    left.priority === right.priority &&
    left.scope === right.scope
  );
}
