import type { Result } from "../cni/result.ts";
import { Address } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import type { LinkRoute } from "../link/routes.ts";
import { RT_SCOPE } from "../netlink/route/route.ts";

/** What IPAM decided, in the words of the link layer. */
export interface Addressing {
  readonly addresses: readonly { readonly prefix: Prefix; readonly gateway: Address | undefined }[];
  readonly routes: readonly LinkRoute[];
}

/**
 * Reads an IPAM result. A route without a gateway goes through the first gateway of its family, as all plugins of the
 * reference have it, unless its scope says that the destination is on the link, or it leads to that gateway itself: results before
 * 1.1.0 have no scopes, and libcni hands the later verbs what is left of them.
 * @throws RangeError on text that is no address
 */
export function readAddressing(result: Result): Addressing {
  const addresses = (result.ips ?? []).map(({ address, gateway }) => ({
    prefix: Prefix.parse(address),
    gateway: gateway === undefined ? undefined : Address.parse(gateway),
  }));
  const routes = (result.routes ?? []).map((route): LinkRoute => {
    const dst = Prefix.parse(route.dst);
    const onLink = route.scope === RT_SCOPE.LINK || route.scope === RT_SCOPE.HOST;
    const gateway = route.gw !== undefined ? Address.parse(route.gw) : onLink ? undefined : gatewayTo(dst, addresses);
    const { priority, table, scope, mtu, advmss } = route;
    return { dst, gateway, priority, table, scope, mtu, advmss };
  });
  return { addresses, routes };
}

function gatewayTo(dst: Prefix, addresses: Addressing["addresses"]): Address | undefined {
  const first = addresses.find(({ gateway }) => gateway?.family === dst.family)?.gateway;
  const isThere = first !== undefined && String(dst) === String(Prefix.host(first));
  return isThere ? undefined : first;
}
