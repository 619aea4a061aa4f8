import { linkMessage } from "../netlink/route/link.ts";
import { RTM } from "../netlink/route/message-types.ts";
import { Failures } from "../support/errors.ts";
import { isErrno } from "../sys/errno.ts";
import { deleteLink, setDown, setLink } from "./links.ts";
import { removalGroup } from "./names.ts";
import type { NetworkNamespace } from "./namespace.ts";

/** As much of a link as is needed to delete it. */
export interface Doomed {
  readonly name: string;
  readonly index: number;
}

/**
 * Deletes links that nobody else needs; one that is gone already is fine. Once a link is gone the kernel keeps whoever deleted it waiting
 * until no processor can be using it any more (rcu_barrier in netdev_run_todo, 16 to 20 ms). There is no clean way round that, but it
 * comes once per request: so links that are together in a group are deleted by one.
 * @throws Error that names each link that stays
 */
export function deleteLinks(namespace: NetworkNamespace, links: readonly Doomed[]): void {
  if (links.length > 1 && deletedTogether(namespace, links)) return;
  const failures = new Failures();
  for (const { name } of links) failures.attempt(`delete link "${name}"`, () => deleteLink(namespace, name));
  failures.throwAny();
}

/** Sets a link down, so that nothing passes it any more; being gone is fine. */
export function takeDown(namespace: NetworkNamespace, link: Doomed): void {
  unlessGone(() => setDown(namespace, link));
}

/** Whether it could be done in one request; what went wrong is found again, link by link, and said then. */
function deletedTogether(namespace: NetworkNamespace, links: readonly Doomed[]): boolean {
  try {
    const group = removalGroup(Math.min(...links.map(({ index }) => index)));
    for (const link of links) unlessGone(() => setLink(namespace, link, { command: `group ${group}`, message: { group } }));
    const request = { type: RTM.DELLINK, body: linkMessage.encode({ group }) };
    unlessGone(() => namespace.change(`ip link del group ${group}`, () => namespace.netlink.change(request)));
    return true;
  } catch {
    return false;
  }
}

function unlessGone(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!isErrno(error, "ENODEV")) throw error;
  }
}
