import type { Address } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import { RT_SCOPE } from "../netlink/route/route.ts";
import { isErrno } from "../sys/errno.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { holderOf } from "./route-lookup.ts";
import { addOnlyRoute, type LinkRoute, listRoutes } from "./routes.ts";

/** Packets for the address go elsewhere already: another container has it, or the node itself. */
export class AddressTakenError extends Error {}

/** Leads packets for one address over the link, where nobody else has it. @throws AddressTakenError */
export function addHostRoute(
  host: NetworkNamespace,
  link: { readonly name: string; readonly index: number },
  address: Address,
): void {
  refuseTaken(host, address);
  try {
    addOnlyRoute(host, link, hostRoute(address));
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    refuseTaken(host, address); // another call was quicker
    throw new AddressTakenError(`a route for ${address} alone is there already`, { cause: error });
  }
}

/** Whether packets for the address are led over the link. */
export function hasHostRoute(host: NetworkNamespace, link: { readonly index: number }, address: Address): boolean {
  const { dst } = hostRoute(address);
  return listRoutes(host, link, address.family).some((route) => route.dst.equals(dst) && route.gateway === undefined);
}

function hostRoute(address: Address): LinkRoute {
  const dst = Prefix.host(address);
  return address.family === 4 ? { dst, scope: RT_SCOPE.HOST } : { dst }; // as the reference has it; IPv6 knows no scopes
}

function refuseTaken(host: NetworkNamespace, address: Address): void {
  const holder = holderOf(host, address);
  if (holder === undefined) return;
  if (holder.own) throw new AddressTakenError(`${address} is the node's own address, on "${holder.link?.name ?? "?"}"`);
  if (holder.link === undefined) throw new AddressTakenError(`a route for ${address} alone leads elsewhere`);
  const { name, alias } = holder.link;
  throw new AddressTakenError(`a route for ${address} leads over link "${name}" (${alias ?? "no alias"})`);
}
