import { attributes, listed, type StructOf, struct } from "../attributes.ts";
import { type Codec, choose, i32, text, u32 } from "../codec.ts";

// What a filter does with a packet: linux/pkt_cls.h (TCA_ACT_*), linux/tc_act/tc_mirred.h.

/** linux/pkt_cls.h: the packet is not to be looked at any further. */
export const TC_ACT_STOLEN = 4;

/** linux/tc_act/tc_mirred.h: the packet goes out of another link instead. */
export const TCA_EGRESS_REDIR = 1;

/** struct tc_mirred. */
const mirredFields = {
  number: u32,
  capabilities: u32,
  action: i32,
  references: i32,
  bindings: i32,
  /** TCA_EGRESS_REDIR and its like. */
  direction: i32,
  index: u32,
};
const mirredParameters: Codec<Partial<StructOf<typeof mirredFields>>> = struct(mirredFields);

const action = attributes({
  kind: [1, "TCA_ACT_KIND", text],
  options: [
    2,
    "TCA_ACT_OPTIONS",
    choose("kind", { mirred: attributes({ parameters: [2, "TCA_MIRRED_PARMS", mirredParameters] }) }),
  ],
});

/** The actions of a filter, in order (TCA_ACT_TAB). */
export const actions = listed("TCA_ACT_TAB", action);
