import { CniError, codes } from "../cni/error.ts";
import { findLink, type Link } from "../link/links.ts";
import type { NetworkNamespace, Sandbox } from "../link/namespace.ts";
import { findUplink } from "../link/uplink.ts";
import { expectSame } from "./verify.ts";

/** Which link a container's interface stands upon. */
export interface MasterWish {
  /** Its name; undefined is the link of the default route. */
  readonly master: string | undefined;
  /** It is in the container, not on the host. */
  readonly linkInContainer: boolean;
}

/** The namespace in which the master is, and in which a link upon it is asked for. */
function masterNamespace({ host, container }: Sandbox, { linkInContainer }: Pick<MasterWish, "linkInContainer">) {
  return linkInContainer ? container : host;
}

/**
 * The link that a container's interface shall stand upon. Only ADD needs it: DEL must work when it is gone.
 * @throws CniError 7 when there is no such link, or no default route to tell of one
 */
export function resolveMaster(sandbox: Sandbox, wish: MasterWish): Link {
  const namespace = masterNamespace(sandbox, wish);
  const where = wish.linkInContainer ? "in the container" : "on the host";
  return wish.master === undefined ? findDefault(namespace, where) : findMaster(namespace, { name: wish.master, where });
}

function findDefault(namespace: NetworkNamespace, where: string): Link {
  const link = findUplink(namespace);
  if (link !== undefined) return link;
  throw new CniError(codes.invalidConfig, `Cannot choose a master: no default route interface found ${where}`, {
    details: '"master" names the link to use; without it, it is the one that the default route leads over',
  });
}

function findMaster(namespace: NetworkNamespace, { name, where }: { name: string; where: string }): Link {
  const link = findLink(namespace, name);
  if (link !== undefined) return link;
  throw new CniError(codes.invalidConfig, `Cannot find master "${name}" ${where}`, {
    details: `there is no link of that name ${where}; "linkInContainer" says where it is looked for`,
  });
}

/**
 * Throws unless a container's link stands upon the master. One that is not named is not compared: the default route may have moved since.
 */
export function verifyMaster(sandbox: Sandbox, { parent }: Link, wish: MasterWish): void {
  const isElsewhere = parent?.netnsId !== undefined;
  if (parent === undefined || isElsewhere === wish.linkInContainer) {
    const actual = parent === undefined ? undefined : isElsewhere ? "outside the container" : "in the container";
    expectSame("where its master is", { expected: wish.linkInContainer ? "in the container" : "outside the container", actual });
    return;
  }
  if (wish.master === undefined) return;
  const namespace = masterNamespace(sandbox, wish);
  if (findLink(namespace, wish.master)?.index === parent.index) return;
  const actual = findLink(namespace, parent.index)?.name ?? `link ${parent.index}`;
  expectSame("its master", { expected: wish.master, actual });
}

/** Refuses an MTU that the master cannot carry; 0, the kernel's choice, is always right. @throws CniError 7 */
export function requireMtu(mtu: number, master: Link): void {
  if (mtu <= master.mtu) return;
  throw new CniError(codes.invalidConfig, `Cannot use MTU ${mtu}: must be [0, master MTU(${master.mtu})]`, {
    details: `"${master.name}" carries no longer packets`,
  });
}
