/** linux/rtnetlink.h, RTM_*: number and kernel name. */
export const RTM = {
  NEWLINK: { number: 16, kernelName: "RTM_NEWLINK" },
  DELLINK: { number: 17, kernelName: "RTM_DELLINK" },
  GETLINK: { number: 18, kernelName: "RTM_GETLINK" },
  SETLINK: { number: 19, kernelName: "RTM_SETLINK" },
  NEWADDR: { number: 20, kernelName: "RTM_NEWADDR" },
  DELADDR: { number: 21, kernelName: "RTM_DELADDR" },
  GETADDR: { number: 22, kernelName: "RTM_GETADDR" },
  NEWROUTE: { number: 24, kernelName: "RTM_NEWROUTE" },
  DELROUTE: { number: 25, kernelName: "RTM_DELROUTE" },
  GETROUTE: { number: 26, kernelName: "RTM_GETROUTE" },
  NEWNEIGH: { number: 28, kernelName: "RTM_NEWNEIGH" },
  DELNEIGH: { number: 29, kernelName: "RTM_DELNEIGH" },
  GETNEIGH: { number: 30, kernelName: "RTM_GETNEIGH" },
  NEWRULE: { number: 32, kernelName: "RTM_NEWRULE" },
  DELRULE: { number: 33, kernelName: "RTM_DELRULE" },
  GETRULE: { number: 34, kernelName: "RTM_GETRULE" },
  NEWQDISC: { number: 36, kernelName: "RTM_NEWQDISC" },
  DELQDISC: { number: 37, kernelName: "RTM_DELQDISC" },
  GETQDISC: { number: 38, kernelName: "RTM_GETQDISC" },
  NEWTFILTER: { number: 44, kernelName: "RTM_NEWTFILTER" },
  DELTFILTER: { number: 45, kernelName: "RTM_DELTFILTER" },
  GETTFILTER: { number: 46, kernelName: "RTM_GETTFILTER" },
  NEWLINKPROP: { number: 108, kernelName: "RTM_NEWLINKPROP" },
} as const;

/** linux/rtnetlink.h, RTMGRP_*: multicast groups. */
export const RTMGRP = { LINK: 0x1, IPV6_IFADDR: 0x100 } as const;

/** sys/socket.h, AF_*: as families in rtnetlink headers. */
export const AF = { UNSPEC: 0, INET: 2, BRIDGE: 7, INET6: 10 } as const;

/** The kernel's number of an IP family. */
export function addressFamily(family: 4 | 6): number {
  return family === 4 ? AF.INET : AF.INET6;
}
