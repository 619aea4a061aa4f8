import { messageFormat } from "../attributes.ts";
import { ip, text, u8, u32 } from "../codec.ts";

/** linux/fib_rules.h, FR_ACT_TO_TBL: the rule leads to a table. */
export const FR_ACT_TO_TBL = 1;

/** FRA_SUPPRESS_PREFIXLEN of a rule that suppresses nothing, -1. */
export const SUPPRESS_NOTHING = 0xffffffff;

/** RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE: struct fib_rule_hdr and FRA_* of linux/fib_rules.h. */
export const fibRuleMessage = messageFormat(
  {
    family: u8,
    dstLength: u8,
    srcLength: u8,
    tos: u8,
    /** Tables up to 255; `tableId` has them all. */
    table: u8,
    reserved1: u8,
    reserved2: u8,
    action: u8,
    flags: u32,
  },
  {
    dst: [1, "FRA_DST", ip],
    src: [2, "FRA_SRC", ip],
    inName: [3, "FRA_IIFNAME", text],
    goto: [4, "FRA_GOTO", u32],
    priority: [6, "FRA_PRIORITY", u32],
    mark: [10, "FRA_FWMARK", u32],
    suppressPrefixLength: [14, "FRA_SUPPRESS_PREFIXLEN", u32],
    tableId: [15, "FRA_TABLE", u32],
    mask: [16, "FRA_FWMASK", u32],
    outName: [17, "FRA_OIFNAME", text],
    /** 1: the table is that of the VRF the packet belongs to. */
    masterDevice: [19, "FRA_L3MDEV", u8],
    /** RTPROT_*: who made it (Linux 4.17). */
    protocol: [21, "FRA_PROTOCOL", u8],
  },
);

export type FibRuleMessage = ReturnType<typeof fibRuleMessage.decode>;
