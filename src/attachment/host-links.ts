import type { Attachment, ValidAttachment } from "../cni/plugin.ts";
import { deleteLink, findLink, listLinks } from "../link/links.ts";
import { hostLinkName, isHostLinkName, linkAlias, networkLinkPrefix } from "../link/names.ts";
import { NetworkNamespace, type Sandbox } from "../link/namespace.ts";
import { Failures } from "../support/errors.ts";
import type { Steps } from "../support/steps.ts";
import { Netns } from "../sys/netns.ts";

/** Deletes the host end of an attachment's veth pair, and with it the container's; neither being there is fine. */
export function deleteHostLink(attachment: Attachment, steps: Steps): boolean {
  using host = NetworkNamespace.host(steps);
  return deleteLink(host, hostLinkName(attachment));
}

/**
 * Deletes an attachment's veth pair from whichever end is found: by its name on the host, else (a pair that another
 * implementation made, with a random name) by the interface's name in the container.
 * An interface whose other end bears the name of another attachment is left alone: the namespace is somebody else's by now.
 */
export function deleteVeth(attachment: Attachment, options: { netns: string | undefined; steps: Steps }): void {
  using host = NetworkNamespace.host(options.steps);
  if (deleteLink(host, hostLinkName(attachment))) return;
  const netns = Netns.tryOpen(options.netns);
  if (netns === undefined) return;
  using container = NetworkNamespace.container(netns, options.steps);
  const link = findLink(container, attachment.ifname);
  if (link?.kind !== "veth" || link.peer === undefined) return;
  const peer = findLink(host, link.peer);
  if (peer !== undefined && isHostLinkName(peer.name)) return;
  deleteLink(container, link.name);
}

/** Deletes the host links of a network that belong to none of the attachments still valid. Goes on after errors and reports all. */
export function collectHostLinks(network: string, options: { valid: readonly ValidAttachment[]; steps: Steps }): void {
  using host = NetworkNamespace.host(options.steps);
  const prefix = networkLinkPrefix(network);
  const keep = new Set(options.valid.map((attachment) => hostLinkName({ ...attachment, network })));
  const failures = new Failures();
  for (const link of listLinks(host, { kind: "veth" })) {
    if (!link.name.startsWith(prefix) || !isHostLinkName(link.name) || keep.has(link.name)) continue;
    if (!namesNetwork(link.alias, network)) continue;
    failures.attempt(`delete link "${link.name}" (${link.alias ?? "no alias"})`, () => deleteLink(host, link.name));
  }
  failures.throwAny();
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
