import { errnoText } from "../../sys/errno.ts";
import type { NetlinkError } from "../acks.ts";
import { attributePathAt } from "../attributes.ts";
import type { BatchRefusal } from "../connection.ts";
import type { Operation } from "./batch.ts";
import { chainMessage } from "./chain.ts";
import { elementNumber } from "./element.ts";
import { familyName, NFT, type TableFamily } from "./message-types.ts";
import { ruleMessage } from "./rule.ts";

// struct nlmsghdr and struct nfgenmsg stand before the attributes of a message
const ATTRIBUTES_AT = 16 + 4;
const NFTA_RULE_EXPRESSIONS = 4;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;

const COMMAND_MAX = 300;

/** The kernel's refusal of a batch: by which operation, why, and what the kernel lacks where that is the reason. */
export class NftablesError extends Error {
  readonly code: string;
  readonly errno: number;
  /** The command of the operation that was refused; undefined where the batch was as a whole. */
  readonly command: string | undefined;

  constructor(
    command: string | undefined,
    options: { error: NetlinkError; place?: string | undefined; hint?: string | undefined },
  ) {
    const { error, place, hint } = options;
    const what = command === undefined ? error.message : `nft ${shortened(command)}: ${errnoText(error.errno)}`;
    const words = command === undefined || error.kernelWords === undefined ? [] : [error.kernelWords];
    super([what, ...words, ...(place === undefined ? [] : [`at ${place}`]), ...(hint === undefined ? [] : [hint])].join(": "), {
      cause: error,
    });
    this.code = error.code;
    this.errno = error.errno;
    this.command = command;
  }
}

function shortened(command: string): string {
  return command.length <= COMMAND_MAX ? command : `${command.slice(0, COMMAND_MAX)}…`;
}

/** The error to throw for a refusal. */
export function explainRefusal(refusal: BatchRefusal, operations: readonly Operation[]): NftablesError {
  const { at, error } = refusal;
  const operation = operations[at];
  if (operation === undefined) return new NftablesError(undefined, { error, hint: missingSubsystem(error) });
  // A set without a name belongs to the rule behind it
  const command = operations.slice(at).find((each) => each.command !== undefined)?.command;
  return new NftablesError(command, { error, ...details(operation, error) });
}

function details(operation: Operation, error: NetlinkError): { place?: string | undefined; hint?: string | undefined } {
  const { type, body } = operation.request;
  const absent = error.code === "ENOENT" || error.code === "EOPNOTSUPP" || error.code === "EAFNOSUPPORT";
  const family = familyName(body[0] ?? 0);
  if (type === NFT.NEWTABLE) return { hint: absent ? missing(FAMILY_OPTIONS[family]) : undefined };
  if (type === NFT.NEWCHAIN) {
    const chainType = chainMessage.decode(body).type;
    return { hint: absent && chainType === "nat" ? missing(["CONFIG_NFT_NAT"]) : undefined };
  }
  if (error.offset === undefined) return {};
  const [outer, inner] = attributePathAt(body.subarray(4), error.offset - ATTRIBUTES_AT);
  if (inner === undefined) return {};
  if (type === NFT.NEWRULE && outer?.type === NFTA_RULE_EXPRESSIONS) {
    const name = ruleMessage.decode(body).expressions?.[inner.index]?.name;
    if (name === undefined) return {};
    const options = EXPRESSION_OPTIONS[name]?.(family);
    return {
      place: `expression ${inner.index + 1}, ${name}`,
      hint: absent && options !== undefined ? missing(options) : undefined,
    };
  }
  if (outer?.type === NFTA_SET_ELEM_LIST_ELEMENTS) return { place: `element ${elementNumber(body, inner.index)}` };
  return {};
}

function missing(options: readonly string[] | undefined): string | undefined {
  return options === undefined ? undefined : `the kernel may lack ${options.join(", ")}`;
}

function missingSubsystem(error: NetlinkError): string | undefined {
  return error.code === "EOPNOTSUPP" || error.code === "EINVAL" ? missing(["CONFIG_NF_TABLES"]) : undefined;
}

const FAMILY_OPTIONS: Readonly<Record<TableFamily, readonly string[]>> = {
  inet: ["CONFIG_NF_TABLES", "CONFIG_NF_TABLES_INET"],
  ip: ["CONFIG_NF_TABLES", "CONFIG_NF_TABLES_IPV4"],
  ip6: ["CONFIG_NF_TABLES", "CONFIG_NF_TABLES_IPV6"],
  arp: ["CONFIG_NF_TABLES", "CONFIG_NF_TABLES_ARP"],
  bridge: ["CONFIG_NF_TABLES", "CONFIG_NF_TABLES_BRIDGE"],
  netdev: ["CONFIG_NF_TABLES", "CONFIG_NF_TABLES_NETDEV"],
};

const BY_FAMILY: Readonly<Partial<Record<TableFamily, string>>> = { inet: "_INET", ip: "_IPV4", ip6: "_IPV6", netdev: "_NETDEV" };

/** Which options of the kernel an expression needs; those not here are part of CONFIG_NF_TABLES. */
const EXPRESSION_OPTIONS: Readonly<Record<string, (family: TableFamily) => readonly string[]>> = {
  fib: (family) => [`CONFIG_NFT_FIB${BY_FAMILY[family] ?? ""}`],
  masq: () => ["CONFIG_NFT_MASQ"],
  nat: () => ["CONFIG_NFT_NAT"],
  ct: () => ["CONFIG_NFT_CT"],
  reject: (family) => [family === "bridge" ? "CONFIG_NFT_BRIDGE_REJECT" : `CONFIG_NFT_REJECT${BY_FAMILY[family] ?? ""}`],
  match: () => ["CONFIG_NFT_COMPAT"],
};
