import { readFileSync } from "node:fs";
import { isErrno } from "../sys/errno.ts";
import type { NetworkNamespace } from "./namespace.ts";

/**
 * Whether connections to one of these ports are known in the namespace, of any protocol and to any address. The kernel writes this text
 * ten times sooner than it answers a netlink dump, for which it locks each of its buckets, 262,144 on many a node, whatever is in them.
 * @returns undefined where the kernel does not offer the text (CONFIG_NF_CONNTRACK_PROCFS)
 */
export function hasConnectionsTo(namespace: NetworkNamespace, ports: readonly number[]): boolean | undefined {
  try {
    const text = namespace.inside(() => readFileSync("/proc/thread-self/net/nf_conntrack", "latin1"));
    return ports.some((port) => text.includes(` dport=${port} `));
  } catch (error) {
    if (isErrno(error, "ENOENT", "EACCES")) return undefined;
    throw error;
  }
}
