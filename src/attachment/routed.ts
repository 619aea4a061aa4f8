import type { IpConfig, Result, Route } from "../cni/result.ts";
import { Prefix } from "../ip/prefix.ts";
import { RT_SCOPE } from "../netlink/route/route.ts";

/**
 * An IPAM result for a container that reaches everybody through its gateway, its neighbours on the bridge too: each address stands
 * alone (/32, /128), its gateway is on the link, and the network's own prefix leads through the gateway like any other.
 * Packets between containers of one node then pass the node's routing, whether or not br_netfilter is loaded, so that what the node
 * rewrites on the way there it also rewrites on the way back.
 */
export function toRouted(result: Result): Result {
  const ips = result.ips ?? [];
  const gateways = new Set(ips.flatMap(({ gateway }) => gateway ?? []));
  const onLink = [...gateways].map((gateway): Route => ({ dst: hostPrefix(gateway), scope: RT_SCOPE.LINK }));
  const networks = ips.flatMap(({ address, gateway }): Route[] => {
    const prefix = Prefix.parse(address).network();
    return gateway === undefined || isCovered(prefix, result.routes ?? []) ? [] : [{ dst: String(prefix), gw: gateway }];
  });
  return { ...result, ips: ips.map(alone), routes: [...onLink, ...networks, ...(result.routes ?? [])] };
}

function alone(ip: IpConfig): IpConfig {
  return { ...ip, address: hostPrefix(String(Prefix.parse(ip.address).address)) };
}

function hostPrefix(address: string): string {
  return `${address}/${address.includes(":") ? 128 : 32}`;
}

/** Whether a route leads everywhere in that family, and so into the network. */
function isCovered(prefix: Prefix, routes: readonly Route[]): boolean {
  return routes.some(({ dst }) => {
    const route = Prefix.parse(dst);
    return route.family === prefix.family && route.length === 0;
  });
}
