import { messageFormat } from "../attributes.ts";
import { ip, mac, u8, u16, u32 } from "../codec.ts";

/** linux/neighbour.h, NUD_*. */
export const NUD = { REACHABLE: 0x02, STALE: 0x04, FAILED: 0x20, NOARP: 0x40, PERMANENT: 0x80 } as const;

/** RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH: struct ndmsg and NDA_* of linux/neighbour.h. */
export const neighbourMessage = messageFormat(
  { family: u8, pad1: u8, pad2: u16, index: u32, state: u16, flags: u8, type: u8 },
  {
    destination: [1, "NDA_DST", ip],
    linkAddress: [2, "NDA_LLADDR", mac],
    /** Filter of a dump: the header's index must be 0 there. */
    ifindex: [8, "NDA_IFINDEX", u32],
  },
);

export type NeighbourMessage = ReturnType<typeof neighbourMessage.decode>;
