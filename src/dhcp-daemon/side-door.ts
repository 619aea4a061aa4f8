import { closeSync } from "node:fs";
import { formatMac } from "../ip/mac.ts";
import { findLink, type Link } from "../link/links.ts";
import { NetworkNamespace } from "../link/namespace.ts";
import { Steps } from "../support/steps.ts";
import { openPacketSocket, sendDatagram, takeNothing } from "../sys/packet-socket.ts";

// A container's interface goes before its lease is given back, and then a RELEASE has no way from there. What the interface was a part
// of is still there: the parent of a macvlan, the bridge that a veth pair led to. A frame that leaves from it reaches the same wire.

/** Name of the node's link from which frames reach the wire that a container's link is on; undefined where there is none. */
export function findSideDoor(link: Link): string | undefined {
  using host = NetworkNamespace.host(new Steps());
  if (link.kind !== "veth") {
    if (link.parent?.netnsId === undefined) return undefined; // no parent, or one inside the container
    return findLink(host, link.parent.index)?.name;
  }
  const peer = link.peer === undefined ? undefined : findLink(host, link.peer);
  if (peer?.kind !== "veth" || peer.peer !== link.index || peer.master === undefined) return undefined;
  return findLink(host, peer.master)?.name;
}

/** Sends a frame from a link of the node. @throws Error where there is no such link */
export function sendThrough(name: string, frame: Uint8Array): void {
  using host = NetworkNamespace.host(new Steps());
  const link = findLink(host, name);
  if (link === undefined) throw new Error(`link "${name}" is gone`);
  // What leaves from a link does not come in there
  if (formatMac(frame.subarray(0, 6)) === link.mac) throw new Error("the server is this node itself");
  const fd = openPacketSocket({ ifindex: link.index, filter: takeNothing });
  try {
    sendDatagram(fd, frame);
  } finally {
    closeSync(fd);
  }
}
