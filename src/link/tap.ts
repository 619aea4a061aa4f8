import { linkMessage } from "../netlink/route/link.ts";
import { RTM } from "../netlink/route/message-types.ts";
import { during } from "../support/errors.ts";
import { shellWord } from "../support/shell-word.ts";
import { isErrno } from "../sys/errno.ts";
import { hasSelinux, withNextContext } from "../sys/selinux.ts";
import { TapQueue, TUN_DEVICE } from "../sys/tun.ts";
import { MissingKindError } from "./kinds.ts";
import { deleteLink, getLink, type Link, setLink } from "./links.ts";
import { ADDING_GROUP } from "./names.ts";
import type { NetworkNamespace } from "./namespace.ts";

/** Its kind in the kernel's words, which it shares with TUN devices. */
export const TAP_KIND = "tun";

/** A TAP device as it shall be. */
export interface TapWish {
  readonly name: string;
  readonly multiQueue: boolean;
  /** Number of the user who may open it; undefined: nobody but those who administrate the network. */
  readonly owner: number | undefined;
  /** Number of a group who may open it. */
  readonly group: number | undefined;
  /** Undefined: one that the kernel chooses. */
  readonly mac: string | undefined;
  /** 0: the kernel's default, 1500. */
  readonly mtu: number;
  /** Bridge of the same namespace. */
  readonly bridge: Link | undefined;
  /** SELinux context that programs need to open it; undefined: this process's own. */
  readonly selinuxContext: string | undefined;
}

/**
 * Creates a TAP device that stays, in ADDING_GROUP. The kernel takes no netlink request for it, but what it makes instead stays only
 * when told so: until then it goes with this process, whatever becomes of that.
 * @throws MissingKindError; SyscallError EBUSY when the name is taken
 */
export function createTap(namespace: NetworkNamespace, wish: TapWish): void {
  const { name, selinuxContext } = wish;
  const words = creationWords(wish);
  if (selinuxContext === undefined) namespace.change(words.join(" "), () => namespace.inside(() => make(namespace, wish)));
  else makeLabelled(namespace, { words, context: selinuxContext, name });
  const change = settings(wish);
  if (change === undefined) return;
  try {
    setLink(namespace, getLink(namespace, name), change);
  } catch (error) {
    deleteLink(namespace, name);
    throw error;
  }
}

function creationWords({ group, multiQueue, name, owner }: TapWish): string[] {
  return [
    ...["ip", "tuntap", "add", "mode", "tap", "name", shellWord(name), "vnet_hdr"],
    ...(multiQueue ? ["multi_queue"] : []),
    ...(owner === undefined ? [] : ["user", String(owner)]),
    ...(group === undefined ? [] : ["group", String(group)]),
  ];
}

/** With this thread in the namespace. */
function make(namespace: NetworkNamespace, { name, multiQueue, owner, group }: TapWish): void {
  using queue = opening(() => TapQueue.open(name, { multiQueue, exclusive: true }));
  if (owner !== undefined) during(`give it to user ${owner}`, () => queue.setOwner(owner));
  if (group !== undefined) during(`give it to group ${group}`, () => queue.setGroup(group));
  markAdding(namespace, name);
  queue.keep();
}

function markAdding({ netlink }: NetworkNamespace, name: string): void {
  netlink.change({ type: RTM.NEWLINK, body: linkMessage.encode({ name, group: ADDING_GROUP }) });
}

/**
 * A TAP device has the context of the process that makes it (selinux_tun_dev_create in the kernel's security/selinux/hooks.c), and not
 * the one for its sockets, and a process with threads cannot change its own. So this is left to `ip`, in that context.
 */
function makeLabelled(namespace: NetworkNamespace, tap: { words: string[]; context: string; name: string }): void {
  const { context, name, words } = tap;
  if (!hasSelinux()) {
    throw new Error(`SELinux context "${context}" is asked for, and SELinux is not enabled on this node`);
  }
  const { spawnSync } = process.getBuiltinModule("node:child_process");
  namespace.change(`runcon ${shellWord(context)} ${words.join(" ")}`, () => {
    const [program = "", ...parameters] = words.map((word) => (word === shellWord(name) ? name : word));
    const run = () => spawnSync(program, parameters, { encoding: "utf8" });
    const { error, status, stderr } = namespace.inside(() => withNextContext(context, run));
    if (error !== undefined) throw error;
    if (status !== 0) throw new Error(stderr.trim() === "" ? `ip: exit code ${status}` : stderr.trim());
    markAdding(namespace, name);
  });
}

function settings({ bridge, mac, mtu }: TapWish) {
  const words = [
    ...(mac === undefined ? [] : [`address ${mac}`]),
    ...(mtu === 0 ? [] : [`mtu ${mtu}`]),
    ...(bridge === undefined ? [] : [`master ${shellWord(bridge.name)}`]),
  ];
  if (words.length === 0) return undefined;
  const message = {
    ...(mac === undefined ? {} : { address: mac }),
    ...(mtu === 0 ? {} : { mtu }),
    ...(bridge === undefined ? {} : { master: bridge.index }),
  };
  return { command: words.join(" "), message };
}

/** Runs `work`, which opens /dev/net/tun. @throws MissingKindError where that cannot be */
function opening<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR", "ENODEV", "ENXIO")) throw error;
    const way = `CONFIG_TUN, or, built as a module, "modprobe tun"; the file is made by "mknod ${TUN_DEVICE} c 10 200"`;
    throw new MissingKindError(`this node has no ${TUN_DEVICE}: the kernel needs ${way}`, { cause: error });
  }
}

/** Makes sure that TAP devices can be made at all. @throws MissingKindError */
export function requireTap(): void {
  opening(TapQueue.probe);
}

/** What is particular to a TAP device; undefined for other links, TUN devices among them. */
export function tapTraits({ kind, kindData }: Link) {
  if (kind !== TAP_KIND || kindData === undefined || !("tunType" in kindData) || kindData.tunType !== "tap") return undefined;
  const { group, multiQueue = false, owner, persistent = false } = kindData;
  return { owner, group, multiQueue, persistent };
}
