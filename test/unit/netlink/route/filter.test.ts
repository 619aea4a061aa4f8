import { describe, expect, it } from "vitest";
import { TC_ACT_STOLEN, TCA_EGRESS_REDIR } from "../../../../src/netlink/route/action.ts";
import { ETH_P_ALL, type FilterMessage, filterInfo, filterMessage, U32_TERMINAL } from "../../../../src/netlink/route/filter.ts";
import { handleOf, TC_H } from "../../../../src/netlink/route/qdisc.ts";
import { bodyOf, hex, splitMessages, toHex, vector } from "../../../support/hex.ts";

const FILE = "filters.hex";

function redirect(place: { index: number; parent: number }): Partial<FilterMessage> {
  const parameters = { action: TC_ACT_STOLEN, direction: TCA_EGRESS_REDIR, index: 4 };
  return {
    ...place,
    info: filterInfo(1, ETH_P_ALL),
    kind: "u32",
    options: {
      classId: handleOf(1) + 1,
      actions: [{ kind: "mirred", options: { parameters } }],
      selector: { flags: U32_TERMINAL, keys: [{}] },
    },
  };
}

const requests = [
  { name: "add redirect", message: redirect({ index: 3, parent: handleOf(0xffff) }) },
  { name: "add on clsact", message: redirect({ index: 2, parent: TC_H.MIN_INGRESS }) },
];

describe("filters", () => {
  it.each(requests)("$name: the bytes of tc but for NLA_F_NESTED", ({ name, message }) => {
    const theirs = bodyOf(FILE, name);
    expect(filterMessage.decode(theirs)).toMatchObject(message);
    const ours = toHex(filterMessage.encode(message));
    // TCA_OPTIONS, TCA_U32_ACT and the action itself
    expect(ours.replace("68000280", "68000200").replace("38000780", "38000700").replace("34000180", "34000100")).toBe(
      toHex(theirs),
    );
  });

  it.each([
    { name: "dump request", message: { index: 3, parent: handleOf(0xffff) } },
    { name: "delete", message: { index: 3, parent: handleOf(0xffff), info: filterInfo(1, ETH_P_ALL) } },
  ])("$name: the bytes of tc", ({ name, message }) => {
    expect(toHex(filterMessage.encode(message))).toBe(toHex(bodyOf(FILE, name)));
  });

  it("reads the kernel's list: the filter's root, its table, the rule", () => {
    const list = splitMessages(vector(FILE, "dump")).map(({ body }) => filterMessage.decode(body));
    expect(list.map(({ handle }) => handle)).toEqual([0, 0x80000000, 0x80000800]);
    expect(list.map(({ info, kind, chain }) => ({ info, kind, chain }))).toEqual(
      Array.from({ length: 3 }, () => ({ info: filterInfo(1, ETH_P_ALL), kind: "u32", chain: 0 })),
    );
    expect(list[0]?.options).toBeUndefined();
    const parameters = { action: TC_ACT_STOLEN, direction: TCA_EGRESS_REDIR, index: 4, references: 1 };
    expect(list[2]?.options).toMatchObject({ actions: [{ kind: "mirred", options: { parameters } }] });
    for (const message of list) expect(filterMessage.decode(filterMessage.encode(message))).toEqual(message);
  });

  it("puts priority and protocol into one number, the protocol in network order", () => {
    expect(filterInfo(1, ETH_P_ALL)).toBe(0x00010300);
    expect(filterInfo(0xffff, 0x0800)).toBe(0xffff0008);
  });

  it("names a selector with fewer keys than it says", () => {
    const wire = hex(
      "00000000 03000000 00000000 f2ffffff 00030100 0800 0100 75333200 1800 0280 1400 0500 01000100 00000000 00000000 00000000",
    );
    expect(() => filterMessage.decode(wire)).toThrow(
      new RangeError("Cannot decode TCA_OPTIONS: Cannot decode TCA_U32_SEL: 0 bytes, expected 4"),
    );
  });
});
