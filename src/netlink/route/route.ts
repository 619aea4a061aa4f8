import { align4, attributes, messageFormat, type StructOf, struct } from "../attributes.ts";
import { type Codec, i32, ip, u8, u16, u32, type ValueOf } from "../codec.ts";

/** linux/rtnetlink.h: tables, protocols, scopes and types of routes. */
export const RT_TABLE = { UNSPEC: 0, MAIN: 254, LOCAL: 255 } as const;
export const RTPROT_BOOT = 3;
/** Routes that follow from addresses. */
export const RTPROT_KERNEL = 2;
/** Routes learnt from ICMP redirects and from router advertisements, which come again by themselves. */
export const RTPROT_REDIRECT = 1;
export const RTPROT_RA = 9;
/** Routes and rules that podlink marks as its own; nobody has this number in iproute2's rt_protos. */
export const RTPROT_PODLINK = 112;
export const RT_SCOPE = { UNIVERSE: 0, SITE: 200, LINK: 253, HOST: 254 } as const;
export const RTN_UNICAST = 1;
export const RTN_LOCAL = 2;
/** The answer to RTM_GETROUTE is the entry found in the table, not the way of one packet. */
export const RTM_F_FIB_MATCH = 0x2000;

/** linux/rtnetlink.h, RTNH_F_ONLINK: the gateway is on the link, whatever the routes say. */
export const RTNH_F_ONLINK = 4;

/** RTAX_*. */
const metrics = attributes({
  mtu: [2, "RTAX_MTU", u32],
  advmss: [8, "RTAX_ADVMSS", u32],
});

const hopFields = { length: u16, flags: u8, hops: u8, outIndex: i32 };
const rtnexthop = struct(hopFields);
const nextHopAttributes = attributes({ gateway: [5, "RTA_GATEWAY", ip] });

/** One way of a route that has several; IPv6 routes of the same destination and metric become one such route. */
type NextHop = Omit<StructOf<typeof hopFields>, "length"> & ValueOf<typeof nextHopAttributes>;

/** Several struct rtnexthop, each followed by attributes; their lengths do not count the padding between them. */
const nextHops: Codec<NextHop[]> = {
  encode(hops) {
    return Buffer.concat(
      hops.map((hop) => {
        const body = nextHopAttributes.encode(hop);
        return Buffer.concat([rtnexthop.encode({ ...hop, length: rtnexthop.size + body.length }), body]);
      }),
    );
  },
  decode(bytes) {
    const hops: NextHop[] = [];
    for (let at = 0; at + rtnexthop.size <= bytes.length; ) {
      const { length, ...hop } = rtnexthop.decode(bytes.subarray(at)) as StructOf<typeof hopFields>;
      if (length < rtnexthop.size || at + length > bytes.length) {
        throw new RangeError(`next hop at byte ${at}: length ${length} of ${bytes.length - at} bytes left`);
      }
      hops.push({ ...hop, ...nextHopAttributes.decode(bytes.subarray(at + rtnexthop.size, at + length)) });
      at += align4(length);
    }
    return hops;
  },
};

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
    nextHops: [9, "RTA_MULTIPATH", nextHops],
    tableId: [15, "RTA_TABLE", u32],
  },
);

export type RouteMessage = ReturnType<typeof routeMessage.decode>;
