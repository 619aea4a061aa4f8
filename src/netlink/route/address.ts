import { messageFormat } from "../attributes.ts";
import { ip, text, u8, u32 } from "../codec.ts";

/** linux/if_addr.h, IFA_F_*. */
export const IFA_F = { NODAD: 0x02, DADFAILED: 0x08, TENTATIVE: 0x40, PERMANENT: 0x80, NOPREFIXROUTE: 0x200 } as const;

/** RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR: struct ifaddrmsg and IFA_* of linux/if_addr.h. */
export const addressMessage = messageFormat(
  { family: u8, prefixLength: u8, flags8: u8, scope: u8, index: u32 },
  {
    /** The other end of a point-to-point link; else the same as `local`. */
    address: [1, "IFA_ADDRESS", ip],
    local: [2, "IFA_LOCAL", ip],
    label: [3, "IFA_LABEL", text],
    broadcast: [4, "IFA_BROADCAST", ip],
    flags: [8, "IFA_FLAGS", u32],
  },
);

export type AddressMessage = ReturnType<typeof addressMessage.decode>;
