import type { Element } from "./element.ts";
import type { Expression } from "./expression.ts";
import type { TableFamily } from "./message-types.ts";
import { VERDICT_REGISTER } from "./registers.ts";
import type { NftSet } from "./set.ts";
import type { Table } from "./table.ts";

/** What a field means something for: other packets must not be compared. */
export type Dependency = "ipv4" | "ipv6" | "ether" | "tcp" | "udp" | "sctp";

const L4PROTO = { tcp: 6, udp: 17, sctp: 132 } as const;
const NFPROTO_BYTE = { ipv4: 2, ipv6: 10 } as const;
const ETHER_TYPE = { ipv4: 0x0800, ipv6: 0x86dd } as const;
const ARPHRD_ETHER = 1;

/** A rule while its statements become expressions: what is known of the packet so far, and the sets it brings along. */
export class RuleContext {
  readonly table: Table;
  readonly sets: { readonly set: NftSet; readonly elements: readonly Element[]; readonly id: number }[] = [];
  readonly #known = new Set<Dependency>();
  readonly #nextSetId: () => number;

  /** @param nextSetId numbers for sets without a name, none twice in a batch */
  constructor(table: Table, nextSetId: () => number) {
    this.table = table;
    this.#nextSetId = nextSetId;
  }

  /** Notes that the rule goes on only for such packets. */
  learn(dependency: Dependency): void {
    this.#known.add(dependency);
  }

  /** The expressions that leave the rule for other packets, as nft puts them in; none where that is known. */
  require(dependency: Dependency): Expression[] {
    if (this.#known.has(dependency) || implied(this.table.family, dependency)) return [];
    this.#known.add(dependency);
    const { key, value } = check(this.table.family, dependency);
    return [
      { name: "meta", data: { key, dreg: 1 } },
      { name: "cmp", data: { sreg: 1, op: "eq", data: { value } } },
    ];
  }

  /** Takes a set without a name along; the answer is its number for the lookup. */
  bring(set: NftSet, elements: readonly Element[]): number {
    const id = this.#nextSetId();
    this.sets.push({ set, elements, id });
    return id;
  }
}

function implied(family: TableFamily, dependency: Dependency): boolean {
  return (
    (family === "ip" && dependency === "ipv4") ||
    (family === "ip6" && dependency === "ipv6") ||
    ((family === "bridge" || family === "netdev") && dependency === "ether")
  );
}

function check(
  family: TableFamily,
  dependency: Dependency,
): { key: "l4proto" | "iiftype" | "nfproto" | "protocol"; value: Uint8Array } {
  if (dependency === "tcp" || dependency === "udp" || dependency === "sctp") {
    return { key: "l4proto", value: Uint8Array.of(L4PROTO[dependency]) };
  }
  if (dependency === "ether") return { key: "iiftype", value: Uint8Array.of(ARPHRD_ETHER, 0) };
  if (family === "inet") return { key: "nfproto", value: Uint8Array.of(NFPROTO_BYTE[dependency]) };
  const type = ETHER_TYPE[dependency];
  return { key: "protocol", value: Uint8Array.of(type >> 8, type & 0xff) };
}

/** The expression that decides on the packet. */
export function verdictExpression(verdict: { code: "accept" | "drop" | "return" | "jump" | "goto"; chain?: string }): Expression {
  return { name: "immediate", data: { dreg: VERDICT_REGISTER, data: { verdict } } };
}
