import { attributes, messageFormat, repeated, struct } from "../attributes.ts";
import { bool8, bytes, choose, i32, mac, named, text, u8, u16, u32 } from "../codec.ts";

// linux/if_link.h; struct ifinfomsg of linux/rtnetlink.h. 64-bit and statistics attributes are left to unknownAttributes.

/** linux/if.h, IFF_*. */
export const IFF = { UP: 0x1, RUNNING: 0x40, PROMISC: 0x100, ALLMULTI: 0x200, LOWER_UP: 0x10000 } as const;

/** linux/if.h, IF_OPER_*: operational state of RFC 2863. */
export const OPER_UNKNOWN = 0; // of a driver that does not say
export const OPER_UP = 6;

const ifinfomsg = { family: u8, pad: u8, type: u16, index: i32, flags: u32, change: u32 };

/** IFLA_BR_*. */
const bridgeData = attributes({
  forwardDelay: [1, "IFLA_BR_FORWARD_DELAY", u32],
  stpState: [5, "IFLA_BR_STP_STATE", u32],
  vlanFiltering: [7, "IFLA_BR_VLAN_FILTERING", bool8],
  defaultPvid: [39, "IFLA_BR_VLAN_DEFAULT_PVID", u16],
});

/** IFLA_BRPORT_*. */
const bridgePortData = attributes({
  state: [1, "IFLA_BRPORT_STATE", u8],
  hairpin: [4, "IFLA_BRPORT_MODE", bool8],
  isolated: [33, "IFLA_BRPORT_ISOLATED", bool8],
});

/** The other end of a veth pair: a link message inside the link message. */
const vethPeer = messageFormat(ifinfomsg, {
  address: [1, "IFLA_ADDRESS", mac],
  name: [3, "IFLA_IFNAME", text],
  mtu: [4, "IFLA_MTU", u32],
  netnsFd: [28, "IFLA_NET_NS_FD", u32],
  txQueues: [31, "IFLA_NUM_TX_QUEUES", u32],
  rxQueues: [32, "IFLA_NUM_RX_QUEUES", u32],
});

/** VETH_INFO_*. */
const vethData = attributes({ peer: [1, "VETH_INFO_PEER", vethPeer] });

/** IFLA_MACVLAN_*; enum macvlan_mode. */
const macvlanData = attributes({
  mode: [1, "IFLA_MACVLAN_MODE", named(u32, { private: 1, vepa: 2, bridge: 4, passthru: 8, source: 16 })],
  /** Packets to everybody that may wait until each link has its copy; what the kernel uses is the most that any link asks for. */
  bcQueueLength: [7, "IFLA_MACVLAN_BC_QUEUE_LEN", u32],
});

/** IFLA_IPVLAN_*; enum ipvlan_mode. */
const ipvlanData = attributes({
  mode: [1, "IFLA_IPVLAN_MODE", named(u16, { l2: 0, l3: 1, l3s: 2 })],
  /** IPVLAN_F_*: 0 is what iproute2 calls "bridge". */
  flags: [2, "IFLA_IPVLAN_FLAGS", u16],
});

/** IFLA_VRF_*. */
const vrfData = attributes({ table: [1, "IFLA_VRF_TABLE", u32] });

/** IFLA_VLAN_*. */
const vlanData = attributes({ id: [1, "IFLA_VLAN_ID", u16] });

/** IFLA_TUN_* (since Linux 4.17; only shown, never taken); IFF_TUN, IFF_TAP of linux/if_tun.h. */
const tunData = attributes({
  owner: [1, "IFLA_TUN_OWNER", u32],
  group: [2, "IFLA_TUN_GROUP", u32],
  tunType: [3, "IFLA_TUN_TYPE", named(u8, { tun: 1, tap: 2 })],
  vnetHeader: [5, "IFLA_TUN_VNET_HDR", bool8],
  persistent: [6, "IFLA_TUN_PERSIST", bool8],
  multiQueue: [7, "IFLA_TUN_MULTI_QUEUE", bool8],
});

const linkInfo = attributes({
  kind: [1, "IFLA_INFO_KIND", text],
  data: [
    2,
    "IFLA_INFO_DATA",
    choose("kind", {
      bridge: bridgeData,
      ipvlan: ipvlanData,
      macvlan: macvlanData,
      tun: tunData,
      veth: vethData,
      vlan: vlanData,
      vrf: vrfData,
    }),
  ],
  slaveKind: [4, "IFLA_INFO_SLAVE_KIND", text],
  slaveData: [5, "IFLA_INFO_SLAVE_DATA", choose("slaveKind", { bridge: bridgePortData })],
});

const linkTable = {
  address: [1, "IFLA_ADDRESS", mac],
  broadcast: [2, "IFLA_BROADCAST", mac],
  name: [3, "IFLA_IFNAME", text],
  mtu: [4, "IFLA_MTU", u32],
  /** Index of the peer or lower link, in the namespace `linkNetnsId` says (absent: the same). */
  link: [5, "IFLA_LINK", u32],
  master: [10, "IFLA_MASTER", u32],
  txQueueLength: [13, "IFLA_TXQLEN", u32],
  operState: [16, "IFLA_OPERSTATE", u8],
  linkMode: [17, "IFLA_LINKMODE", u8],
  linkInfo: [18, "IFLA_LINKINFO", linkInfo],
  /** The namespace of that process: one that needs no descriptor. */
  netnsPid: [19, "IFLA_NET_NS_PID", u32],
  alias: [20, "IFLA_IFALIAS", text],
  group: [27, "IFLA_GROUP", u32],
  netnsFd: [28, "IFLA_NET_NS_FD", u32],
  extMask: [29, "IFLA_EXT_MASK", u32],
  promiscuity: [30, "IFLA_PROMISCUITY", u32],
  txQueues: [31, "IFLA_NUM_TX_QUEUES", u32],
  rxQueues: [32, "IFLA_NUM_RX_QUEUES", u32],
  carrier: [33, "IFLA_CARRIER", u8],
  linkNetnsId: [37, "IFLA_LINK_NETNSID", i32],
  /** By which the link is found as by its own, but not listed (Linux 5.5). */
  alternativeNames: [52, "IFLA_PROP_LIST", repeated(53, "IFLA_ALT_IFNAME", text)],
} as const;

/** RTM_NEWLINK, RTM_GETLINK, RTM_SETLINK, RTM_DELLINK. */
export const linkMessage = messageFormat(ifinfomsg, linkTable);

export type LinkMessage = ReturnType<typeof linkMessage.decode>;

/** linux/if_bridge.h, BRIDGE_VLAN_INFO_*. */
export const VLAN_FLAG = { PVID: 0x2, UNTAGGED: 0x4 } as const;

/** linux/rtnetlink.h, RTEXT_FILTER_*: what a link dump shall hold beside the usual. */
export const RTEXT_FILTER_BRVLAN = 0x2;

const vlanInfo = struct({ flags: u16, vid: u16 });

/** Link messages of family AF_BRIDGE, where IFLA_AF_SPEC holds the VLANs of a bridge port. */
export const bridgeVlanMessage = messageFormat(ifinfomsg, {
  name: [3, "IFLA_IFNAME", text],
  master: [10, "IFLA_MASTER", u32],
  vlans: [26, "IFLA_AF_SPEC", repeated(2, "IFLA_BRIDGE_VLAN_INFO", vlanInfo)],
  extMask: [29, "IFLA_EXT_MASK", u32],
  protinfo: [12, "IFLA_PROTINFO", bytes],
});
