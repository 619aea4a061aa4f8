import { fstatSync } from "node:fs";
import { parseMac } from "../ip/mac.ts";
import { findLink, type Link } from "../link/links.ts";
import { NetworkNamespace } from "../link/namespace.ts";
import { Steps } from "../support/steps.ts";
import { Netns } from "../sys/netns.ts";

/** Where an interface is: path of a network namespace as the daemon sees it, and a name there. */
export interface Place {
  readonly netns: string;
  readonly ifname: string;
}

/** What tells the interface at a place from another one that came there later. */
export interface PlaceIdentity {
  /** Device and inode of the namespace; with the boot ID, no other has them. */
  readonly netnsId: string;
  readonly ifindex: number;
  readonly mac: string;
}

/** The interface or its namespace is no more. */
export class LinkGoneError extends Error {}

/** An interface with its namespace open. Both are closed with `using`: what is open keeps a namespace alive that everybody else has left. */
export class OpenPlace implements Disposable {
  readonly namespace: NetworkNamespace;
  readonly link: Link;
  readonly identity: PlaceIdentity;
  /** What was changed through `namespace`. */
  readonly steps: Steps;

  private constructor(namespace: NetworkNamespace, options: { link: Link; netnsId: string; steps: Steps }) {
    this.namespace = namespace;
    this.link = options.link;
    this.steps = options.steps;
    this.identity = { netnsId: options.netnsId, ifindex: options.link.index, mac: options.link.mac };
  }

  /**
   * @param expected the interface it has to be
   * @throws LinkGoneError when it is not there, or another one is; Error for a link without a MAC address
   */
  static open({ netns: path, ifname }: Place, expected?: PlaceIdentity): OpenPlace {
    const netns = Netns.tryOpen(path);
    if (netns === undefined) throw new LinkGoneError(`network namespace "${path}" is gone`);
    const { dev, ino } = fstatSync(netns.fd);
    const netnsId = `${dev}:${ino}`;
    if (expected !== undefined && netnsId !== expected.netnsId) {
      netns[Symbol.dispose]();
      throw new LinkGoneError(`network namespace "${path}" is another one by now`);
    }
    const steps = new Steps();
    const namespace = NetworkNamespace.container(netns, steps);
    try {
      const link = findLink(namespace, ifname);
      if (link === undefined) throw new LinkGoneError(`interface "${ifname}" is gone`);
      if (expected !== undefined && (link.index !== expected.ifindex || link.mac !== expected.mac)) {
        throw new LinkGoneError(`interface "${ifname}" is another one by now`);
      }
      parseMac(link.mac); // what is no Ethernet has none of six bytes
      return new OpenPlace(namespace, { link, netnsId, steps });
    } catch (error) {
      namespace[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.namespace[Symbol.dispose]();
  }
}
