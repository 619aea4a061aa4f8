import { type Attribute, type AttributesOf, type MessageFormat, messageFormat, type StructOf } from "../attributes.ts";
import { be16, u8 } from "../codec.ts";

// linux/netfilter/nfnetlink.h: a message type is 8 bits of subsystem and 8 bits of operation
const NFNL_SUBSYS_CTNETLINK = 1 << 8;
/** linux/netfilter/nfnetlink.h: the subsystem a batch is for. */
export const NFNL_SUBSYS_NFTABLES = 10;

/** linux/netfilter/nfnetlink.h, NFNL_MSG_BATCH_*: what stands around the messages of one transaction. */
export const NFNL_BATCH = {
  BEGIN: { number: 16, kernelName: "NFNL_MSG_BATCH_BEGIN" },
  END: { number: 17, kernelName: "NFNL_MSG_BATCH_END" },
} as const;

/** linux/netfilter/nf_tables.h, NFT_MSG_*: number and kernel name. */
export const NFT = {
  NEWTABLE: { number: 0xa00, kernelName: "NFT_MSG_NEWTABLE" },
  GETTABLE: { number: 0xa01, kernelName: "NFT_MSG_GETTABLE" },
  DELTABLE: { number: 0xa02, kernelName: "NFT_MSG_DELTABLE" },
  NEWCHAIN: { number: 0xa03, kernelName: "NFT_MSG_NEWCHAIN" },
  GETCHAIN: { number: 0xa04, kernelName: "NFT_MSG_GETCHAIN" },
  DELCHAIN: { number: 0xa05, kernelName: "NFT_MSG_DELCHAIN" },
  NEWRULE: { number: 0xa06, kernelName: "NFT_MSG_NEWRULE" },
  GETRULE: { number: 0xa07, kernelName: "NFT_MSG_GETRULE" },
  DELRULE: { number: 0xa08, kernelName: "NFT_MSG_DELRULE" },
  NEWSET: { number: 0xa09, kernelName: "NFT_MSG_NEWSET" },
  GETSET: { number: 0xa0a, kernelName: "NFT_MSG_GETSET" },
  DELSET: { number: 0xa0b, kernelName: "NFT_MSG_DELSET" },
  NEWSETELEM: { number: 0xa0c, kernelName: "NFT_MSG_NEWSETELEM" },
  GETSETELEM: { number: 0xa0d, kernelName: "NFT_MSG_GETSETELEM" },
  DELSETELEM: { number: 0xa0e, kernelName: "NFT_MSG_DELSETELEM" },
  GETGEN: { number: 0xa10, kernelName: "NFT_MSG_GETGEN" },
} as const;

/** linux/netfilter/nfnetlink_conntrack.h, IPCTNL_MSG_CT_*. */
export const IPCTNL = {
  GET: { number: NFNL_SUBSYS_CTNETLINK | 1, kernelName: "IPCTNL_MSG_CT_GET" },
  DELETE: { number: NFNL_SUBSYS_CTNETLINK | 2, kernelName: "IPCTNL_MSG_CT_DELETE" },
} as const;

/** linux/netfilter.h, NFPROTO_*: the families of tables by nft's names. */
export const NFPROTO = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 } as const;

export type TableFamily = keyof typeof NFPROTO;

/** nft's name of a family. @throws RangeError */
export function familyName(number: number): TableFamily {
  for (const [name, found] of Object.entries(NFPROTO)) if (found === number) return name as TableFamily;
  throw new RangeError(`Cannot name the table family ${number}`);
}

/** struct nfgenmsg. */
const nfgenmsg = {
  /** NFPROTO_* */
  family: u8,
  version: u8,
  /** The subsystem, on the messages around a batch; the generation's low half in answers. */
  resource: be16,
};

/** An nfnetlink message: struct nfgenmsg and the attributes of `table`. */
export function netfilterMessage<T extends Record<string, Attribute<unknown>>>(
  table: T,
): MessageFormat<StructOf<typeof nfgenmsg>, AttributesOf<T>> {
  return messageFormat(nfgenmsg, table);
}
