import { describe, expect, it } from "vitest";
import { findMissingShapers } from "../../../src/link/ifb.ts";
import { NetlinkConnection } from "../../../src/netlink/connection.ts";
import { linkMessage } from "../../../src/netlink/route/link.ts";
import { RTM } from "../../../src/netlink/route/message-types.ts";
import { qdiscMessage } from "../../../src/netlink/route/qdisc.ts";
import { FakeKernel, refusal } from "../../support/fake-kernel.ts";

// linux/errno.h
const [EPERM, ENOENT, EEXIST, EINVAL, EOPNOTSUPP, EADDRNOTAVAIL] = [1, 2, 17, 22, 95, 99];

function ask(answers: { link: number; qdisc: number }): { missing: string[]; kernel: FakeKernel } {
  const kernel = new FakeKernel((request) => [
    refusal(request, request.type === RTM.NEWLINK.number ? answers.link : answers.qdisc),
  ]);
  return { missing: findMissingShapers({ netlink: new NetlinkConnection(kernel) }), kernel };
}

describe("findMissingShapers", () => {
  it.each([
    { title: "knows both", link: EADDRNOTAVAIL, qdisc: EINVAL, missing: [] },
    { title: "has another queue on lo", link: EADDRNOTAVAIL, qdisc: EEXIST, missing: [] },
    { title: "lets us do neither", link: EPERM, qdisc: EPERM, missing: [] },
    { title: "lacks ifb", link: EOPNOTSUPP, qdisc: EINVAL, missing: ["links of kind ifb (module ifb)"] },
    { title: "lacks tbf", link: EADDRNOTAVAIL, qdisc: ENOENT, missing: ["qdiscs of kind tbf (module sch_tbf)"] },
  ])("of a kernel that $title", ({ link, qdisc, missing }) => {
    expect(ask({ link, qdisc }).missing).toEqual(missing);
  });

  it("asks for nothing that a kernel could grant", () => {
    const [link, qdisc] = ask({ link: EADDRNOTAVAIL, qdisc: EINVAL }).kernel.requests;
    // ifb_validate() wants a unicast address, tbf_init() options
    expect(linkMessage.decode(link?.body ?? new Uint8Array())).toMatchObject({
      address: "01:00:00:00:00:00",
      linkInfo: { kind: "ifb" },
    });
    const { kind, options } = qdiscMessage.decode(qdisc?.body ?? new Uint8Array());
    expect({ kind, options }).toEqual({ kind: "tbf", options: undefined });
  });
});
