import { describe, expect, it } from "vitest";
import { creating, MissingKindError, requireKind } from "../../../src/link/kinds.ts";
import { NetlinkError } from "../../../src/netlink/acks.ts";
import { NetlinkConnection } from "../../../src/netlink/connection.ts";
import { linkMessage } from "../../../src/netlink/route/link.ts";
import { ack, FakeKernel, refusal } from "../../support/fake-kernel.ts";

// linux/errno.h
const [EPERM, EEXIST, EINVAL, EOPNOTSUPP, EADDRNOTAVAIL] = [1, 17, 22, 95, 99];

function ask(kind: string, answer: { errno: number; words?: string }): FakeKernel {
  const kernel = new FakeKernel((request) => [refusal(request, answer.errno, answer.words)]);
  requireKind({ netlink: new NetlinkConnection(kernel) }, kind);
  return kernel;
}

describe("requireKind", () => {
  it.each([EADDRNOTAVAIL, EINVAL, EPERM, EEXIST])(
    "takes errno %i for a word about the request, so the kind is there",
    (errno) => {
      expect(() => ask("macvlan", { errno })).not.toThrow();
    },
  );

  it.each([
    ["macvlan", "CONFIG_MACVLAN", "macvlan"],
    ["ipvlan", "CONFIG_IPVLAN", "ipvlan"],
    ["vlan", "CONFIG_VLAN_8021Q", "8021q"],
    ["dummy", "CONFIG_DUMMY", "dummy"],
    ["vrf", "CONFIG_NET_VRF", "vrf"],
  ])("names what a kernel without %s needs: %s or module %s", (kind, option, module) => {
    const words = `this kernel has no links of kind ${kind}: it needs ${option}, or, built as a module, "modprobe ${module}"`;
    for (const answer of [{ errno: EOPNOTSUPP, words: "Unknown device type" }, { errno: EOPNOTSUPP }]) {
      expect(() => ask(kind, answer)).toThrow(new MissingKindError(words));
    }
  });

  it("asks for nothing that a kernel could grant", () => {
    const kernel = ask("macvlan", { errno: EADDRNOTAVAIL });
    // *_validate() of the kinds want a unicast address, those that do not look at it want a link to stand upon
    const [asked] = kernel.requests.map(({ body }) => linkMessage.decode(body));
    expect(asked).toMatchObject({ address: "01:00:00:00:00:00", linkInfo: { kind: "macvlan" } });
    expect(asked).not.toHaveProperty("link");
  });
});

describe("creating", () => {
  const failing = (errno: number, message?: string) => () => {
    throw new NetlinkError("RTM_NEWLINK", errno, { message });
  };

  it("answers what was made", () => expect(creating("macvlan", () => 7)).toBe(7));

  it("passes on a refusal of another kind", () => {
    expect(() => creating("macvlan", failing(EEXIST))).toThrow("RTM_NEWLINK: File exists (EEXIST)");
    expect(() => creating("macvlan", failing(EOPNOTSUPP, "Device cannot be enslaved"))).toThrow("Device cannot be enslaved");
  });

  it("explains a kind that there is not", () => {
    expect(() => creating("ipvlan", failing(EOPNOTSUPP, "Unknown device type"))).toThrow(MissingKindError);
  });

  it("has words for a kind that nobody thought of", () => {
    expect(() => creating("wonder", failing(EOPNOTSUPP))).toThrow('"modprobe wonder"');
  });
});

it("a kernel that grants the request all the same has the kind", () => {
  const kernel = new FakeKernel((request) => [ack(request)]);
  expect(() => requireKind({ netlink: new NetlinkConnection(kernel) }, "dummy")).not.toThrow();
});
