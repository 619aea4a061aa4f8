import { describe, expect, it } from "vitest";
import { Address } from "../../../../src/ip/address.ts";
import { AF } from "../../../../src/netlink/route/message-types.ts";
import { RT_TABLE, RTPROT_KERNEL, RTPROT_PODLINK } from "../../../../src/netlink/route/route.ts";
import { type FibRuleMessage, FR_ACT_TO_TBL, fibRuleMessage, SUPPRESS_NOTHING } from "../../../../src/netlink/route/rule.ts";
import { bodyOf, splitMessages, toHex, vector } from "../../../support/hex.ts";

const FILE = "rules.hex";

const v4 = { family: AF.INET, src: Address.parse("10.1.2.3"), srcLength: 32, protocol: RTPROT_PODLINK };
const v6 = { family: AF.INET6, src: Address.parse("fd01::3"), srcLength: 128, protocol: RTPROT_PODLINK };

/** iproute2 writes a table up to 255 into the header alone, and attributes in the order of its words. */
const requests: readonly { name: string; message: Partial<FibRuleMessage> }[] = [
  { name: "add IPv4", message: { ...v4, table: 100, action: FR_ACT_TO_TBL } },
  { name: "add IPv6", message: { ...v6, tableId: 1000, action: FR_ACT_TO_TBL } },
  {
    name: "add everything",
    message: {
      family: AF.INET,
      dstLength: 16,
      srcLength: 8,
      table: 5,
      action: FR_ACT_TO_TBL,
      src: Address.parse("10.0.0.0"),
      dst: Address.parse("10.9.0.0"),
      inName: "eth9",
      outName: "eth8",
      mark: 0x10,
      mask: 0xff,
      priority: 77,
      suppressPrefixLength: 0,
    },
  },
  { name: "add l3mdev", message: { family: AF.INET, action: FR_ACT_TO_TBL, priority: 1000, masterDevice: 1 } },
  { name: "list IPv4", message: { family: AF.INET } },
  { name: "delete IPv4", message: { ...v4, table: 100, priority: 32_765 } },
  { name: "delete IPv6", message: { ...v6, tableId: 1000, priority: 32_765 } },
];

describe("rule requests", () => {
  it.each(requests)("$name: the meaning of iproute2's bytes", ({ name, message }) => {
    const theirs = bodyOf(FILE, name);
    const ours = fibRuleMessage.encode(message);
    expect(ours.length).toBe(theirs.length);
    expect(fibRuleMessage.decode(ours)).toEqual(fibRuleMessage.decode(theirs));
  });

  it.each(["add IPv4", "add l3mdev", "list IPv4"])("%s: the very bytes of iproute2", (name) => {
    const message = requests.find((request) => request.name === name)?.message ?? {};
    expect(toHex(fibRuleMessage.encode(message))).toBe(toHex(bodyOf(FILE, name)));
  });
});

describe("the kernel's answers", () => {
  const read = (name: string) =>
    splitMessages(vector(FILE, name))
      .slice(0, -1) // NLMSG_DONE
      .map(({ body }) => fibRuleMessage.decode(body));

  it("the rules of IPv4", () => {
    const rules = read("IPv4 rules");
    expect(rules.map(({ priority, tableId, protocol }) => [priority, tableId, protocol])).toEqual([
      [undefined, RT_TABLE.LOCAL, RTPROT_KERNEL],
      [77, 5, 0],
      [1000, 0, 0],
      [32_765, 100, RTPROT_PODLINK],
      [32_766, RT_TABLE.MAIN, RTPROT_KERNEL],
      [32_767, 253, RTPROT_KERNEL],
    ]);
    expect(rules[1]).toMatchObject({
      inName: "eth9",
      outName: "eth8",
      mark: 16,
      mask: 255,
      suppressPrefixLength: 0,
      dstLength: 16,
    });
    expect(rules[2]).toMatchObject({ masterDevice: 1, suppressPrefixLength: SUPPRESS_NOTHING });
    expect(rules[3]).toMatchObject({ ...v4, action: FR_ACT_TO_TBL });
    for (const rule of rules) expect(fibRuleMessage.decode(fibRuleMessage.encode(rule))).toEqual(rule);
  });

  it("the rules of IPv6, with a table beyond 255", () => {
    const rules = read("IPv6 rules");
    expect(rules[1]).toMatchObject({ ...v6, table: 252, tableId: 1000 }); // RT_TABLE_COMPAT: it does not fit
    expect(rules.every(({ unknownAttributes }) => unknownAttributes === undefined)).toBe(true);
  });
});
