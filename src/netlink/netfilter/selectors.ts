import type { TypeName } from "./data-types.ts";
import type { Expression } from "./expression.ts";
import { FIB_FLAG } from "./expressions/fib.ts";
import type { Dependency } from "./rule-context.ts";

/** A field of the packet, or of what the kernel knows of it. */
export interface Selector {
  /** As nft writes it. */
  readonly text: string;
  readonly type: TypeName;
  /** Loads it; where `bytes` is given and the field can be cut, only the first of it. */
  load(register: number, bytes?: number): Expression;
  readonly needs?: Dependency;
  /** Its first bytes can be loaded alone. */
  readonly cuttable?: true;
  /** Equal to this value says that the packet is such. */
  readonly teaches?: Readonly<Record<string, Dependency>>;
}

interface Place {
  readonly base: "link" | "network" | "transport";
  readonly offset: number;
  readonly length: number;
}

function field(text: string, type: TypeName, options: Place & { needs?: Dependency }): Selector {
  const { base, offset, length, needs } = options;
  const common = { text, type, cuttable: true as const };
  const load = (dreg: number, bytes = length): Expression => ({ name: "payload", data: { dreg, base, offset, length: bytes } });
  return needs === undefined ? { ...common, load } : { ...common, load, needs };
}

type MetaKey = "mark" | "iifname" | "oifname" | "nfproto" | "l4proto" | "protocol";

function metaField(text: string, type: TypeName, options: { key: MetaKey; teaches?: Record<string, Dependency> }): Selector {
  const load = (dreg: number): Expression => ({ name: "meta", data: { key: options.key, dreg } });
  return options.teaches === undefined ? { text, type, load } : { text, type, load, teaches: options.teaches };
}

interface Tracked {
  readonly key:
    | "state"
    | "status"
    | "mark"
    | "direction"
    | "src_ip"
    | "dst_ip"
    | "src_ip6"
    | "dst_ip6"
    | "proto_src"
    | "proto_dst";
  readonly direction?: "original" | "reply";
}

function ctField(text: string, type: TypeName, tracked: Tracked): Selector {
  return { text, type, load: (dreg) => ({ name: "ct", data: { ...tracked, dreg } }) };
}

const port = (offset: number, needs?: Dependency) =>
  ({ base: "transport", offset, length: 2, ...(needs === undefined ? {} : { needs }) }) as const;

/** The fields that rules here look at, by nft's words. */
export const SELECTORS = {
  "ip saddr": field("ip saddr", "ipv4_addr", { base: "network", offset: 12, length: 4, needs: "ipv4" }),
  "ip daddr": field("ip daddr", "ipv4_addr", { base: "network", offset: 16, length: 4, needs: "ipv4" }),
  "ip6 saddr": field("ip6 saddr", "ipv6_addr", { base: "network", offset: 8, length: 16, needs: "ipv6" }),
  "ip6 daddr": field("ip6 daddr", "ipv6_addr", { base: "network", offset: 24, length: 16, needs: "ipv6" }),
  "ether saddr": field("ether saddr", "ether_addr", { base: "link", offset: 6, length: 6, needs: "ether" }),
  "ether daddr": field("ether daddr", "ether_addr", { base: "link", offset: 0, length: 6, needs: "ether" }),
  "th sport": field("th sport", "inet_service", port(0)),
  "th dport": field("th dport", "inet_service", port(2)),
  "tcp dport": field("tcp dport", "inet_service", port(2, "tcp")),
  "udp dport": field("udp dport", "inet_service", port(2, "udp")),
  "sctp dport": field("sctp dport", "inet_service", port(2, "sctp")),
  "meta mark": metaField("meta mark", "mark", { key: "mark" }),
  "meta nfproto": metaField("meta nfproto", "nf_proto", { key: "nfproto", teaches: { ipv4: "ipv4", ipv6: "ipv6" } }),
  "meta l4proto": metaField("meta l4proto", "inet_proto", {
    key: "l4proto",
    teaches: { tcp: "tcp", udp: "udp", sctp: "sctp" },
  }),
  "meta protocol": metaField("meta protocol", "ether_type", { key: "protocol", teaches: { ip: "ipv4", ip6: "ipv6" } }),
  iifname: metaField("iifname", "ifname", { key: "iifname" }),
  oifname: metaField("oifname", "ifname", { key: "oifname" }),
  "fib daddr type": {
    text: "fib daddr type",
    type: "fib_addrtype",
    load: (dreg) => ({ name: "fib", data: { flags: FIB_FLAG.daddr, result: "type", dreg } }),
  },
  "fib saddr type": {
    text: "fib saddr type",
    type: "fib_addrtype",
    load: (dreg) => ({ name: "fib", data: { flags: FIB_FLAG.saddr, result: "type", dreg } }),
  },
  "ct state": ctField("ct state", "ct_state", { key: "state" }),
  "ct status": ctField("ct status", "ct_status", { key: "status" }),
  "ct mark": ctField("ct mark", "mark", { key: "mark" }),
  "ct direction": ctField("ct direction", "ct_dir", { key: "direction" }),
  "ct original ip saddr": ctField("ct original ip saddr", "ipv4_addr", { key: "src_ip", direction: "original" }),
  "ct original ip daddr": ctField("ct original ip daddr", "ipv4_addr", { key: "dst_ip", direction: "original" }),
  "ct original ip6 saddr": ctField("ct original ip6 saddr", "ipv6_addr", { key: "src_ip6", direction: "original" }),
  "ct original ip6 daddr": ctField("ct original ip6 daddr", "ipv6_addr", { key: "dst_ip6", direction: "original" }),
  "ct original proto-dst": ctField("ct original proto-dst", "inet_service", { key: "proto_dst", direction: "original" }),
  "ct reply ip saddr": ctField("ct reply ip saddr", "ipv4_addr", { key: "src_ip", direction: "reply" }),
  "ct reply ip6 saddr": ctField("ct reply ip6 saddr", "ipv6_addr", { key: "src_ip6", direction: "reply" }),
} as const satisfies Record<string, Selector>;

export type SelectorName = keyof typeof SELECTORS;

/** A selector by name, without its literal type. */
export function selector(name: SelectorName): Selector {
  return SELECTORS[name];
}
