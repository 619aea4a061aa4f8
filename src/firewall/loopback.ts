import { Prefix } from "../ip/prefix.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { applyBatch } from "../link/nftables.ts";
import { readSysctl, writeSysctls } from "../link/sysctl.ts";
import { Batch } from "../netlink/netfilter/batch.ts";
import type { NftSet } from "../netlink/netfilter/set.ts";
import { match } from "../netlink/netfilter/statements/match.ts";
import { verdict } from "../netlink/netfilter/statements/verdict.ts";
import { isInUse, type LinkUse, usersMap } from "./link-use.ts";
import type { FixedChain } from "./rules.ts";
import { podlinkTable as table } from "./table.ts";

// A process of the node that talks to 127.0.0.1:port has 127.0.0.1 for its own address too. Its packets leave with the node's address
// on the container's link, but answers have 127.0.0.1 again by the time they are routed (prerouting, priority -200 and -100), and the
// kernel takes such a packet from a link only where route_localnet is set. That alone would also let in what neighbours and containers
// send to 127.0.0.1 themselves: the guard looks at packets as they came, before any translation, when no honest one has such an address.

/** The links whose route_localnet podlink has set. */
const openedLinks = { table, name: "route_localnet", key: ["ifname"] } as const satisfies NftSet;

/** Drops what comes over a wire from or for 127.0.0.0/8. */
export function loopbackGuard(): FixedChain {
  const loopback = Prefix.parse("127.0.0.0/8");
  const arriving = match("iifname", "lo", { not: true });
  return {
    chain: { table, name: "loopback_guard", base: { type: "filter", hook: "prerouting", priority: -300 } },
    sets: [openedLinks],
    rules: [
      ["nobody reaches the node's loopback from outside", arriving, match("ip daddr", loopback), verdict("drop")],
      ["nobody outside is the node's loopback", arriving, match("ip saddr", loopback), verdict("drop")],
    ],
  };
}

/** Whether answers to 127.0.0.1 may come over the link. */
export function isOpen(host: NetworkNamespace, link: string): boolean {
  return ["all", link].some((each) => readSysctl(host, routeLocalnet(each)) === "1");
}

/** Notes, in the batch that makes the guard stand, that podlink is going to open the link. */
export function noteOpening(host: NetworkNamespace, batch: Batch, link: string): void {
  if (isOpen(host, link)) return;
  batch.addSet(openedLinks);
  batch.addElements(openedLinks, [{ key: [link] }]);
}

/** Lets answers to 127.0.0.1 come over the link. The guard must stand. @throws Error where /proc/sys cannot be written */
export function openLink(host: NetworkNamespace, link: string): void {
  if (isOpen(host, link)) return;
  if (host.nftables.element(openedLinks, [link]) === undefined) {
    const batch = new Batch(); // it was open when that was to be noted
    noteOpening(host, batch, link);
    applyBatch(host, batch);
  }
  writeSysctls(host, { [routeLocalnet(link)]: "1" });
}

/** Containers share the link over which processes of the node reach them through 127.0.0.1: their bridge, or nothing but their own. */
export function answering(): LinkUse {
  return {
    users: usersMap("loopback_users", "attachments that processes of the node reach at 127.0.0.1, and over which link"),
    marks: () => [],
  };
}

/**
 * Forgets, in the batch that removes their last containers, that podlink has opened links.
 * @returns the links to be closed before the batch is committed; those that somebody else had opened are none of them
 */
export function noteClosing(host: NetworkNamespace, batch: Batch, links: readonly string[]): string[] {
  const closing = links.filter((link) => host.nftables.element(openedLinks, [link]) !== undefined);
  const elements = closing.map((link) => ({ key: [link] }));
  batch.deleteElements(openedLinks, elements, { ifPresent: true });
  return closing;
}

/** Takes back what openLink did; a link that is gone is closed. */
export function closeLink(host: NetworkNamespace, link: string): void {
  writeSysctls(host, { [routeLocalnet(link)]: "0" });
}

/** For who closed a link and has to ask anew: an ADD may have found it open in the meantime. */
export function reopenLink(host: NetworkNamespace, link: string): void {
  if (isInUse(host, { use: answering(), link })) openLink(host, link);
}

function routeLocalnet(link: string): string {
  return `net/ipv4/conf/${link}/route_localnet`;
}
