import { RTM } from "../../../src/netlink/route/message-types.ts";
import { NETLINK_NETFILTER, NETLINK_ROUTE } from "../../../src/sys/socket.ts";
import type { Syscall } from "./trace.ts";

// Which of a call's system calls change something, on the node or on its disk.

/** By what a change is made; `daemon`: what is asked of podlink's own. The last three change nothing that DEL has to care for. */
export type Means = "route" | "nftables" | "conntrack" | "sysctl" | "device" | "file" | "daemon" | "namespace" | "answer" | "log";

/** A system call at which a call can be killed, because it changes something. */
export interface Point extends Pick<Syscall, "name" | "ordinal"> {
  readonly means: Means;
  /** What it changes, without what differs from one run to the next. */
  readonly about: string;
  /** The file, for `file` and `sysctl`. */
  readonly path: string;
  /** How many points of the call come before it. */
  readonly index: number;
}

// linux/netfilter/nfnetlink.h, linux/netfilter/nfnetlink_conntrack.h
const NFNL_MSG_BATCH_BEGIN = 16;
const NFNL_MSG_BATCH_END = 17;
const SUBSYSTEM_CONNTRACK = 1;
const conntrackChanges = new Set([0, 2]); // IPCTNL_MSG_CT_NEW, IPCTNL_MSG_CT_DELETE

/** ioctl(2) requests that only ask. */
const questions = /, (TCGETS|TIOCGWINSZ|FIO\w+|NS_GET_\w+|SIOCG\w+|TUNGET\w+)\b/;

const routeNames = new Map<number, string>(Object.values(RTM).map(({ number, kernelName }) => [number, kernelName]));

/** Whether a point is a change that DEL has to undo. */
export function isChange({ means }: Point): boolean {
  return means !== "answer" && means !== "log" && means !== "namespace";
}

/** Those that take effect, in order. @param victim the one that took none, because something happened to it */
export function pointsIn(syscalls: readonly Syscall[], victim?: Point): Point[] {
  const protocols = new Map<number, string>(); // of sockets, by descriptor
  const points: Point[] = [];
  for (const call of syscalls) {
    const { name, ordinal, result } = call;
    if (name === "socket" && result !== undefined) protocols.set(result, call.text);
    const isVictim = name === victim?.name && ordinal === victim.ordinal;
    if (result !== undefined && result < 0 && !isVictim) continue;
    // strace does not tell what a killed process was about to send
    const isUntold = isVictim && name === "sendto" && call.bytes.length === 0;
    const found = isUntold ? victim : change(call, protocols);
    if (found !== undefined) points.push({ ...found, name, ordinal, index: points.length });
  }
  return points;
}

export type Change = Pick<Point, "means" | "about" | "path">;

function change(call: Syscall, protocols: ReadonlyMap<number, string>): Change | undefined {
  const { name, text } = call;
  if (name === "socket" || name === "connect") return undefined;
  if (name === "setns") return named("namespace", "setns");
  if (name === "sendto" || name === "sendmsg") return sending(call, protocols.get(Number(/^\((\d+)/.exec(text)?.[1])) ?? "");
  if (name === "ioctl") return questions.test(text) ? undefined : named("device", /, (\w+)/.exec(text)?.[1] ?? "ioctl");
  if (name === "openat" || name === "open" || name === "creat") return opening(text);
  if (/^p?write/.test(name)) return writing(text);
  return file(name, /"([^"]*)"[^"]*$/.exec(text)?.[1] ?? "");
}

function sending({ bytes }: Syscall, socket: string): Change | undefined {
  if (!socket.includes("AF_NETLINK")) return named("daemon", "request");
  return netlinkChange(bytes, socket.includes("NETLINK_ROUTE)") ? NETLINK_ROUTE : NETLINK_NETFILTER);
}

/** What a datagram to the kernel changes. @param protocol NETLINK_ROUTE or NETLINK_NETFILTER */
export function netlinkChange(bytes: Buffer, protocol: number): Change | undefined {
  const type = bytes.readUInt16LE(4);
  // Of the four types of each object the third asks
  if (protocol === NETLINK_ROUTE) return (type & 3) === 2 ? undefined : named("route", routeNames.get(type) ?? `RTM ${type}`);
  if (type === NFNL_MSG_BATCH_BEGIN) return lastType(bytes) === NFNL_MSG_BATCH_END ? named("nftables", "batch") : undefined;
  const [subsystem, message] = [type >> 8, type & 0xff];
  return subsystem === SUBSYSTEM_CONNTRACK && conntrackChanges.has(message) ? named("conntrack", "connection") : undefined;
}

/** The type of a datagram's last message. */
function lastType(bytes: Buffer): number {
  let type = 0;
  for (let at = 0; at + 16 <= bytes.length; at += (bytes.readUInt32LE(at) + 3) & ~3) type = bytes.readUInt16LE(at + 4);
  return type;
}

function opening(text: string): Change | undefined {
  const path = /"([^"]*)"/.exec(text)?.[1] ?? "";
  if (!/O_(CREAT|TRUNC)/.test(text) || /^\/(proc|sys|dev)\//.test(path)) return undefined;
  return file("open", path);
}

function writing(text: string): Change | undefined {
  const [, descriptor, path = ""] = /^\((\d+)<([^>]*)>/.exec(text) ?? [];
  if (descriptor === "1") return named("answer", "stdout");
  if (/^\/(proc|sys)\//.test(path)) return { means: "sysctl", about: plain(path), path };
  return path.startsWith("/") && !path.startsWith("/dev/") ? file("write", path) : undefined;
}

function file(name: string, path: string): Change {
  return { means: path.startsWith("/var/log/") ? "log" : "file", about: `${name} ${plain(path)}`, path };
}

function named(means: Means, about: string): Change {
  return { means, about, path: "" };
}

/** Temporary names have something random in them. */
function plain(path: string): string {
  return path.replace(/\.podlink-[a-z0-9]+/, ".podlink-*");
}
