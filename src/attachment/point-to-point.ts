import type { Address } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import type { LinkRoute } from "../link/routes.ts";
import { RT_SCOPE, RT_TABLE } from "../netlink/route/route.ts";
import type { Addressing } from "./addressing.ts";

/** What IPAM gave does not do for a link that joins a container with the node and with nobody else. */
export class NoGatewayError extends Error {}

/** What both ends of such a link are given. */
export interface PointToPoint {
  /** The container's, with the lengths of their networks; no route of the kernel's comes with them. */
  readonly addresses: readonly Prefix[];
  /** The container's, each behind those that it needs. */
  readonly routes: readonly LinkRoute[];
  /** The node's, each alone (/32, /128). */
  readonly gateways: readonly Prefix[];
}

/**
 * The gateway is on the link, and the container's network is behind it like everything else: there is nobody else on the link.
 * Packets leave with the container's address in the network that they go to.
 * @throws NoGatewayError when an address has no gateway of its family, or is its own
 */
export function planPointToPoint({ addresses, routes }: Addressing): PointToPoint {
  const pairs = addresses.map(({ prefix, gateway }) => ({ prefix, gateway: requireGateway(prefix, gateway) }));
  const onLink = pairs.map(({ prefix, gateway }) => ({
    dst: Prefix.host(gateway),
    source: prefix.address,
    ...(gateway.family === 4 ? { scope: RT_SCOPE.LINK } : {}),
  }));
  const networks = pairs
    .filter(({ prefix }) => !prefix.equals(Prefix.host(prefix.address)))
    .map(({ prefix, gateway }) => ({ dst: prefix.network(), gateway, source: prefix.address }));
  const own = firstOfEach<LinkRoute>([...onLink, ...networks]).filter(({ dst }) => !routes.some((other) => isMain(other, dst)));
  const all = [...own, ...routes];
  return {
    addresses: pairs.map(({ prefix }) => prefix),
    // What is on the link goes first: gateways must be there before what is behind them
    routes: [...all.filter(({ gateway }) => gateway === undefined), ...all.filter(({ gateway }) => gateway !== undefined)],
    gateways: firstOfEach(onLink).map(({ dst }) => dst),
  };
}

function requireGateway(prefix: Prefix, gateway: Address | undefined): Address {
  if (gateway === undefined) throw new NoGatewayError(`no gateway for ${prefix}`);
  if (gateway.family !== prefix.family) throw new NoGatewayError(`gateway ${gateway} for ${prefix}, which is of another family`);
  if (gateway.equals(prefix.address)) throw new NoGatewayError(`${prefix} with itself for gateway`);
  return gateway;
}

function firstOfEach<T extends { readonly dst: Prefix }>(routes: readonly T[]): T[] {
  return routes.filter(({ dst }, place) => routes.findIndex((other) => other.dst.equals(dst)) === place);
}

/** Whether IPAM itself says how to reach a destination. */
function isMain({ dst, table = RT_TABLE.MAIN }: LinkRoute, wanted: Prefix): boolean {
  return table === RT_TABLE.MAIN && dst.network().equals(wanted);
}
