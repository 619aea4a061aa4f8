import { CniError, codes } from "../cni/error.ts";
import type { StatusCall } from "../cni/plugin.ts";
import { MissingKindError, requireKind } from "../link/kinds.ts";
import { findLink } from "../link/links.ts";
import { NetworkNamespace } from "../link/namespace.ts";
import type { MasterWish } from "./master.ts";

/**
 * STATUS of a type that puts one interface into a container: whether the kernel has the kind, and a master that is named is there.
 * The link of the default route may come and go, and one in a container is not for the node to have.
 * @throws CniError 50
 */
export function statusInside(
  call: StatusCall<unknown>,
  wish: { kind: string; ipamType: string | undefined; upon?: MasterWish },
): void {
  using host = NetworkNamespace.host(call.steps);
  try {
    requireKind(host, wish.kind);
  } catch (error) {
    if (!(error instanceof MissingKindError)) throw error;
    throw new CniError(codes.unavailable, `Cannot attach containers: ${error.message}`, { cause: error });
  }
  const { master, linkInContainer = false } = wish.upon ?? {};
  if (master !== undefined && !linkInContainer && findLink(host, master) === undefined) {
    throw new CniError(codes.unavailable, `Cannot attach containers: master "${master}" is not on the host`, {
      details: '"master" names it; the link may have gone, or not have come yet',
    });
  }
  if (wish.ipamType !== undefined) call.delegate(wish.ipamType).status();
}
