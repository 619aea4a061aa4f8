import { closeSync, readFileSync } from "node:fs";
import { isErrno, SyscallError } from "./errno.ts";
import { libc } from "./libc.ts";

// x_tables, the older packet filter, which iptables-legacy fills and nf_tables does not show: its tables read through the options of a
// raw socket (linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h).

/** What the chain FORWARD of a table of x_tables says. */
export interface LegacyForward {
  readonly drops: boolean;
  /** Interfaces that a rule accepts everything from. */
  readonly accepts: readonly string[];
}

const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_RAW = 255;
const GET_INFO = 64; // IPT_SO_GET_INFO, IP6T_SO_GET_INFO
const GET_ENTRIES = 65;
const NF_INET_FORWARD = 2;

/** Verdicts as struct xt_standard_target has them: -1 - NF_DROP, -1 - NF_ACCEPT. */
const DROP = -1;
const ACCEPT = -2;

/** By family: socket domain, level (SOL_IP, SOL_IPV6), and where struct ipt_entry or ip6t_entry, `entry` bytes long, has what is read here. */
const LAYOUTS = {
  4: { names: "ip_tables_names", domain: 2, level: 0, inInterface: 16, selector: 84, offsets: 88, entry: 112 },
  6: { names: "ip6_tables_names", domain: 10, level: 41, inInterface: 64, selector: 136, offsets: 140, entry: 168 },
} as const;

/** Of the namespace this thread stands in; undefined where no such table was ever filled there, or the kernel has none. */
export function readLegacyForward(family: 4 | 6): LegacyForward | undefined {
  const table = readTable(family, "filter");
  if (table === undefined) return undefined;
  const [start, end] = [36, 56].map((at) => table.info.readUInt32LE(at + 4 * NF_INET_FORWARD)); // hook_entry, underflow
  return readChain(table.entries, { family, start: start ?? 0, end: end ?? 0 });
}

/**
 * Whether a table of the namespace this thread stands in has a chain that somebody made. Its name stands at its head, for people alone:
 * rules that lead to it have its place.
 */
export function hasLegacyChain(family: 4 | 6, { table, chain }: { table: string; chain: string }): boolean {
  return readTable(family, table)?.entries.includes(`${chain}\0`) === true;
}

function isFilled(names: string, table: string): boolean {
  try {
    return readFileSync(`/proc/thread-self/net/${names}`, "utf8").split("\n").includes(table);
  } catch {
    return false; // x_tables is not in this kernel, or not for us to read
  }
}

/** struct ipt_getinfo and the entries; undefined where no such table was ever filled. */
function readTable(family: 4 | 6, table: string): { info: Buffer; entries: Buffer } | undefined {
  const { domain, level, names } = LAYOUTS[family];
  // Not asked before it is known to be there: asking would make it
  if (!isFilled(names, table)) return undefined;
  const fd = libc("socket", domain, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
  try {
    const info = read(fd, { level, option: GET_INFO, request: named(table, 84) });
    const size = info.readUInt32LE(80);
    const request = named(table, 40 + size); // struct ipt_get_entries
    request.writeUInt32LE(size, 32);
    return { info, entries: read(fd, { level, option: GET_ENTRIES, request }).subarray(40) };
  } catch (error) {
    // EAGAIN: it grew in between; ENOENT: it went; EPERM: not for us to read
    if (error instanceof SyscallError && isErrno(error, "EAGAIN", "ENOENT", "EPERM", "EINVAL")) return undefined;
    throw error;
  } finally {
    closeSync(fd);
  }
}

function named(table: string, size: number): Buffer {
  const request = Buffer.alloc(size);
  request.write(table);
  return request;
}

function read(fd: number, options: { level: number; option: number; request: Buffer }): Buffer {
  const { level, option, request } = options;
  const length = Buffer.alloc(4);
  length.writeUInt32LE(request.length);
  libc("getsockopt", fd, level, option, request, length);
  return request;
}

function readChain(entries: Buffer, { family, start, end }: { family: 4 | 6; start: number; end: number }): LegacyForward {
  const accepts: string[] = [];
  for (let at = start; at < end; ) {
    const name = acceptedInterface(entries, { family, at });
    if (name !== undefined) accepts.push(name);
    const next = entries.readUInt16LE(at + LAYOUTS[family].offsets + 2);
    if (next === 0) break;
    at += next;
  }
  return { drops: verdictAt(entries, { family, at: end }) === DROP, accepts };
}

/** The interface of a rule that accepts whatever comes in by it, without any further condition. */
function acceptedInterface(entries: Buffer, { family, at }: { family: 4 | 6; at: number }): string | undefined {
  const { inInterface, selector, offsets, entry } = LAYOUTS[family];
  const selects = entries.subarray(at, at + selector);
  const name = selects.toString("utf8", inInterface, inInterface + 16).replace(/\0.*$/s, "");
  // Behind the two names stand their masks: all else of the selector must be zero
  const rest = Buffer.concat([
    selects.subarray(0, inInterface),
    selects.subarray(inInterface + 16, inInterface + 32),
    selects.subarray(inInterface + 48),
  ]);
  const conditions = entries.readUInt16LE(at + offsets) !== entry; // matches stand between the entry and its target
  if (name === "" || conditions || rest.some((byte) => byte !== 0)) return undefined;
  return verdictAt(entries, { family, at }) === ACCEPT ? name : undefined;
}

/** The verdict of an entry's target where it is a standard one, behind struct xt_entry_target. */
function verdictAt(entries: Buffer, { family, at }: { family: 4 | 6; at: number }): number | undefined {
  const target = at + entries.readUInt16LE(at + LAYOUTS[family].offsets);
  const isStandard = entries[target + 2] === 0; // its name is empty
  return isStandard ? entries.readInt32LE(target + 32) : undefined;
}
