import { findLink } from "../link/links.ts";
import { hostLinkName, type NameParts } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { formatHostPort, type HostPort } from "./host-port.ts";
import { fitComment, isCut, ownerOf } from "./owned.ts";

// A host port's comment says more than others (owned.ts):
//
//   plk3d9x7f2mq4ta net1 @veth3f 6fd2… eth0 default/web
//                        |             the pod, where there is room
//                        the attachment's link on the host, where somebody else named it; @ alone: it is not known

/** Whose a host port is, as far as its comment says. */
export interface HostPortOwner {
  /** Name of an attachment's link of podlink's own; undefined where the element is not podlink's. */
  readonly id: string | undefined;
  readonly network?: string | undefined;
  readonly containerId?: string | undefined;
  readonly ifname?: string | undefined;
  /** Its link on the host; undefined: not known. */
  readonly hostLink?: string | undefined;
  /** `namespace/name` */
  readonly pod?: string | undefined;
}

/** The port is taken by somebody who is still there. */
export class HostPortTakenError extends Error {
  readonly owner: HostPortOwner;

  constructor(port: HostPort, options: { owner: HostPortOwner; as: string }) {
    const { owner, as } = options;
    const wanted = formatHostPort(port);
    super(`Cannot map host port ${wanted}: it is taken${as === wanted ? "" : ` as ${as}`} by ${describeOwner(owner)}`);
    this.owner = owner;
  }
}

/** The comment of an attachment's host ports. */
export function hostPortComment(
  attachment: NameParts,
  options: { hostLink: string | undefined; pod: string | undefined },
): string {
  const { network, containerId, ifname } = attachment;
  const { hostLink, pod } = options;
  const id = hostLinkName(attachment);
  const link = hostLink === id ? [] : [`@${hostLink ?? ""}`];
  return fitComment([id, network, ...link, containerId, ifname, ...(pod === undefined ? [] : [pod])]);
}

export function readOwner(comment: string | undefined): HostPortOwner {
  const id = ownerOf(comment);
  if (comment === undefined || id === undefined) return { id: undefined };
  const [, network, ...words] = comment.split(" ");
  const [link] = words;
  const named = link?.startsWith("@") === true;
  const [containerId, ifname, pod] = named ? words.slice(1) : words;
  return {
    id,
    network,
    containerId,
    ifname,
    // Without a container's id behind it, even the link may have been cut
    hostLink: containerId === undefined ? undefined : named ? link.slice(1) || undefined : id,
    pod: isCut(comment) && pod !== undefined ? `${pod}…` : pod,
  };
}

/** Whether an attachment's interface is gone: its link on the host was there when it took the port, and is no more. */
export function isGone(host: NetworkNamespace, { hostLink }: HostPortOwner): boolean {
  return hostLink !== undefined && findLink(host, hostLink) === undefined;
}

/** Whether it is the same container, by this or another of its interfaces. */
export function isSameContainer(left: HostPortOwner, right: HostPortOwner): boolean {
  if (left.id === undefined) return false;
  return left.id === right.id || (left.containerId !== undefined && left.containerId === right.containerId);
}

/** `container "cid" (pod "default/web", network "net1", interface "eth0")` */
export function describeOwner({ id, containerId, pod, network, ifname }: HostPortOwner): string {
  if (id === undefined) return "an element that podlink did not make";
  const more = Object.entries({ pod, network, interface: ifname }).flatMap(([what, value]) =>
    value === undefined ? [] : [`${what} "${value}"`],
  );
  return `container "${containerId ?? ""}" (${more.join(", ")})`;
}
