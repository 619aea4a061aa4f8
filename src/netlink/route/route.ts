import { attributes, messageFormat } from "../attributes.ts";
import { ip, u8, u32 } from "../codec.ts";

/** linux/rtnetlink.h: tables, protocols, scopes and types of routes. */
export const RT_TABLE = { UNSPEC: 0, MAIN: 254, LOCAL: 255 } as const;
export const RTPROT_BOOT = 3;
export const RT_SCOPE = { UNIVERSE: 0, SITE: 200, LINK: 253, HOST: 254 } as const;
export const RTN_UNICAST = 1;

/** RTAX_*. */
const metrics = attributes({
  mtu: [2, "RTAX_MTU", u32],
  advmss: [8, "RTAX_ADVMSS", u32],
});

/** RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE: struct rtmsg and RTA_* of linux/rtnetlink.h. */
export const routeMessage = messageFormat(
  {
    family: u8,
    dstLength: u8,
    srcLength: u8,
    tos: u8,
    /** Tables up to 255; `tableId` has them all. */
    table: u8,
    protocol: u8,
    scope: u8,
    type: u8,
    flags: u32,
  },
  {
    dst: [1, "RTA_DST", ip],
    src: [2, "RTA_SRC", ip],
    outIndex: [4, "RTA_OIF", u32],
    gateway: [5, "RTA_GATEWAY", ip],
    priority: [6, "RTA_PRIORITY", u32],
    preferredSource: [7, "RTA_PREFSRC", ip],
    metrics: [8, "RTA_METRICS", metrics],
    tableId: [15, "RTA_TABLE", u32],
  },
);

export type RouteMessage = ReturnType<typeof routeMessage.decode>;
