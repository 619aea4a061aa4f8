import type { LinkMessage } from "../netlink/route/link.ts";
import { shellWord } from "../support/shell-word.ts";
import { creating } from "./kinds.ts";
import { createLink, findLink, type Link } from "./links.ts";
import { ADDING_GROUP } from "./names.ts";
import type { NetworkNamespace, Sandbox } from "./namespace.ts";

/** A link as it shall be in a container, whatever its kind. */
export interface InsideLink {
  readonly name: string;
  /** Undefined: the kernel's choice. */
  readonly mac?: string | undefined;
  /** 0: the kernel's choice, which is the parent's where there is one. */
  readonly mtu: number;
  /** The link it stands upon. */
  readonly parent?: { readonly link: Pick<Link, "name" | "index">; readonly inContainer: boolean } | undefined;
}

/** What one kind has beside that. */
export interface KindWish {
  readonly kind: string;
  /** IFLA_INFO_DATA. */
  readonly data?: NonNullable<LinkMessage["linkInfo"]>["data"];
  /** What stands behind `type` in the command: `macvlan mode bridge`. */
  readonly words: string;
}

/**
 * Creates a link in the container in one request, with its final name, MAC and MTU, in ADDING_GROUP. The request is made where the
 * parent is: the kernel looks for it in the namespace of the socket that it is asked over.
 * @throws MissingKindError; NetlinkError EEXIST when the name is taken
 */
export function createInside({ host, container }: Sandbox, link: InsideLink, { kind, data, words }: KindWish): void {
  const { name, mac, mtu, parent } = link;
  const fromHost = parent !== undefined && !parent.inContainer;
  const index = fromHost && findLink(host, name) !== undefined ? freeIndex(host, container) : undefined;
  const command = [
    `ip link add${parent === undefined ? "" : ` link ${shellWord(parent.link.name)}`} name ${shellWord(name)}`,
    ...(index === undefined ? [] : [`index ${index}`]),
    ...(mtu === 0 ? [] : [`mtu ${mtu}`]),
    ...(mac === undefined ? [] : [`address ${mac}`]),
    ...(fromHost ? [`netns ${shellWord(container.path)}`] : []),
    `group ${ADDING_GROUP} type ${words}`,
  ].join(" ");
  creating(kind, () =>
    createLink(fromHost ? host : container, command, {
      index: index ?? 0,
      name,
      address: mac,
      mtu: mtu === 0 ? undefined : mtu,
      link: parent?.link.index,
      netnsFd: fromHost ? container.fd : undefined,
      group: ADDING_GROUP,
      linkInfo: { kind, data },
    }),
  );
}

/** Higher than any that the kernel counts up to, and a choice of eight million. */
const INDEXES = { first: 0x10000, count: 0x800000 };

/**
 * An index that no link has, in either namespace. Older kernels (6.1 does, 6.18 does not) look for the new link's name in the namespace of
 * the socket, not in the one it is to be made in, and refuse `eth0` to a container of a node that has an eth0; asked for an index, they look
 * for that alone.
 */
function freeIndex(...namespaces: readonly NetworkNamespace[]): number {
  for (;;) {
    const index = INDEXES.first + Math.floor(Math.random() * INDEXES.count);
    if (namespaces.every((namespace) => findLink(namespace, index) === undefined)) return index;
  }
}
