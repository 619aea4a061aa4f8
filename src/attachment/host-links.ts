import type { Attachment, ValidAttachment } from "../cni/plugin.ts";
import { deleteLink, findLink, type Link, listLinks } from "../link/links.ts";
import { hostLinkName, isHostLinkName, linkAlias, networkLinkPrefix } from "../link/names.ts";
import { NetworkNamespace, type Sandbox } from "../link/namespace.ts";
import { deleteLinks, takeDown } from "../link/removal.ts";
import { during, Failures } from "../support/errors.ts";
import type { Steps } from "../support/steps.ts";
import { Netns } from "../sys/netns.ts";

/** Deletes the host end of an attachment's veth pair, and with it the container's; neither being there is fine. */
export function deleteHostLink(attachment: Attachment, steps: Steps): boolean {
  using host = NetworkNamespace.host(steps);
  return deleteLink(host, hostLinkName(attachment));
}

/** How an attachment's veth pair goes, and what goes with it. */
export interface Removal {
  /** Path of the container's namespace, which may be gone. */
  readonly netns: string | undefined;
  readonly host: NetworkNamespace;
  readonly steps: Steps;
  /**
   * Removes what the pair has in nf_tables: when nothing passes the pair any more, but before it is deleted. The kernel frees that after a
   * wait of its own, which is over when the deletion is; done later, the closing of the connection to nf_tables would take that long.
   */
  readonly beforehand?: () => void;
  /** Finds links of the host that are to be deleted with it, in one request. */
  readonly along?: () => readonly Link[];
}

/**
 * Deletes an attachment's veth pair from whichever end is found: by its name on the host, else (a pair that another
 * implementation made, with a random name) by the interface's name in the container.
 * An interface whose other end bears the name of another attachment is left alone: the namespace is somebody else's by now.
 * Goes on after errors and reports all.
 */
export function deleteVeth(attachment: Attachment, removal: Removal): void {
  const { host, beforehand, along, netns, steps } = removal;
  const detach = `detach "${attachment.ifname}" of "${attachment.containerId}"`;
  const outer = during(detach, () => findLink(host, hostLinkName(attachment)));
  using container = outer === undefined ? during(detach, () => openContainer(netns, steps)) : undefined;
  const inner = container === undefined ? undefined : during(detach, () => findForeign(attachment, { host, container }));
  const [namespace, link] = container === undefined ? [host, outer] : [container, inner];
  const failures = new Failures();
  if (link !== undefined) failures.attempt(detach, () => takeDown(namespace, link));
  if (beforehand !== undefined) {
    failures.attempt(`clear nf_tables of "${attachment.ifname}" of "${attachment.containerId}"`, beforehand);
  }
  const others = along === undefined ? [] : (failures.attempt(detach, along) ?? []);
  failures.attempt(detach, () => {
    if (inner !== undefined) deleteLinks(namespace, [inner]);
    deleteLinks(host, outer === undefined ? others : [outer, ...others]);
  });
  failures.throwAny();
}

function openContainer(path: string | undefined, steps: Steps): NetworkNamespace | undefined {
  const netns = Netns.tryOpen(path);
  return netns === undefined ? undefined : NetworkNamespace.container(netns, steps);
}

/** The container's end of a pair whose other end does not bear the name of an attachment of ours. */
function findForeign(
  attachment: Attachment,
  { host, container }: { host: NetworkNamespace; container: NetworkNamespace },
): Link | undefined {
  const link = findLink(container, attachment.ifname);
  if (link?.kind !== "veth" || link.peer === undefined) return undefined;
  const peer = findLink(host, link.peer);
  return peer !== undefined && isHostLinkName(peer.name) ? undefined : link;
}

/** Deletes the host links of a network that belong to none of the attachments still valid. Goes on after errors and reports all. */
export function collectHostLinks(network: string, options: { valid: readonly ValidAttachment[]; steps: Steps }): void {
  using host = NetworkNamespace.host(options.steps);
  const prefix = networkLinkPrefix(network);
  const keep = new Set(options.valid.map((attachment) => hostLinkName({ ...attachment, network })));
  const stale = listLinks(host, { kind: "veth" }).filter(
    ({ name, alias }) => name.startsWith(prefix) && isHostLinkName(name) && !keep.has(name) && namesNetwork(alias, network),
  );
  deleteLinks(host, stale);
}

/**
 * Whether a link's alias speaks of this network, or of none: two networks' names may have the same hash, but the alias has the name
 * itself, cut where it is very long.
 */
export function namesNetwork(alias: string | undefined, network: string): boolean {
  if (alias === undefined || !alias.startsWith("podlink ")) return true;
  const owner = alias.replace("(adding) ", "");
  const own = `podlink ${network} `;
  return owner.startsWith(own) || own.startsWith(owner);
}

/**
 * Makes room for an ADD: removes what an earlier ADD of the same attachment left when it died half way.
 * @returns whether there was such a leftover; its lease is still to be released
 * @throws Error when the interface is there and whole, or is not ours
 */
export function clearLeftover(sandbox: Sandbox, attachment: Attachment): boolean {
  const { host, container } = sandbox;
  const hostName = hostLinkName(attachment);
  const leftover = findLink(host, hostName);
  const whole = leftover?.alias === linkAlias(attachment, "attached");
  const present = findLink(container, attachment.ifname);
  if (whole) {
    const where = present === undefined ? "is attached, in another namespace," : "already exists in the container, attached";
    throw new Error(`"${attachment.ifname}" ${where} to network "${attachment.network}" by an earlier ADD: DEL it first`);
  }
  if (present !== undefined && leftover === undefined) throw new Error(`"${attachment.ifname}" already exists in the container`);
  if (leftover === undefined) return false;
  deleteLink(host, hostName);
  return true;
}
