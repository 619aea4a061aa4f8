import { byReach } from "../link/kernel-routes.ts";
import type { Link } from "../link/links.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { addOnlyRoute, addRoute, type LinkRoute, listRoutes } from "../link/routes.ts";
import { RT_TABLE } from "../netlink/route/route.ts";
import { isErrno } from "../sys/errno.ts";
import type { Addressing } from "./addressing.ts";
import { isRoute } from "./verify.ts";

/**
 * Makes those routes of a plan again that are in no table: the kernel takes them when the link joins or leaves a VRF, and a call killed in that
 * moment could not bring them back. One that leads over another link stays as it is.
 * @param options.table where the routes belong that name no other table than the main one; left out, there
 * @throws NetlinkError
 */
export function restoreLostRoutes(
  container: NetworkNamespace,
  link: Link,
  { plan, table = RT_TABLE.MAIN }: { plan: Addressing; table?: number },
): void {
  const present = ([4, 6] as const).flatMap((family) => listRoutes(container, link, family));
  const lost = plan.routes.filter((route) => !present.some((other) => isRoute(route, other)));
  // in the main table others have routes too, which stay
  const add = table === RT_TABLE.MAIN ? addOnlyRoute : addRoute;
  for (const route of byReach(lost)) unlessOverAnother(() => add(container, link, { ...route, table: tableOf(route, table) }));
}

function tableOf(route: LinkRoute, table: number): number {
  const named = route.table ?? 0;
  return named === 0 || named === RT_TABLE.MAIN ? table : named;
}

/** The gateway is on no network of the link, or another link's route is there instead. */
function unlessOverAnother(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!isErrno(error, "ENETUNREACH", "EHOSTUNREACH", "EEXIST")) throw error;
  }
}
