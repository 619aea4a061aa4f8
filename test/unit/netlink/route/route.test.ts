import { describe, expect, it } from "vitest";
import { Address } from "../../../../src/ip/address.ts";
import { AF } from "../../../../src/netlink/route/message-types.ts";
import {
  type RouteMessage,
  RT_SCOPE,
  RT_TABLE,
  RTM_F_FIB_MATCH,
  RTN_UNICAST,
  RTPROT_BOOT,
  routeMessage,
} from "../../../../src/netlink/route/route.ts";
import { bodyOf, hex, splitMessages, toHex, vector } from "../../../support/hex.ts";

const FILE = "routes.hex";

const unicast = { type: RTN_UNICAST, protocol: RTPROT_BOOT, outIndex: 2 };

const requests: readonly { name: string; message: Partial<RouteMessage> }[] = [
  {
    name: "add IPv4",
    message: {
      ...unicast,
      family: AF.INET,
      dst: Address.parse("10.99.0.0"),
      dstLength: 16,
      gateway: Address.parse("10.88.0.2"),
      priority: 7,
      tableId: 1000,
      metrics: { mtu: 1300, advmss: 1200 },
    },
  },
  {
    name: "add IPv4 on the link",
    message: {
      ...unicast,
      family: AF.INET,
      dst: Address.parse("10.77.0.0"),
      dstLength: 16,
      table: RT_TABLE.MAIN,
      scope: RT_SCOPE.LINK,
    },
  },
  {
    name: "add IPv4 with a source",
    message: {
      ...unicast,
      outIndex: 3,
      family: AF.INET,
      dst: Address.parse("10.77.0.0"),
      dstLength: 16,
      table: RT_TABLE.MAIN,
      gateway: Address.parse("10.88.0.2"),
      preferredSource: Address.parse("10.88.0.1"),
    },
  },
  {
    name: "get the entry for IPv4",
    message: {
      family: AF.INET,
      dst: Address.parse("10.88.0.9"),
      dstLength: 32,
      flags: RTM_F_FIB_MATCH | 0x1000, // RTM_F_LOOKUP_TABLE
    },
  },
  {
    name: "add IPv6",
    message: {
      ...unicast,
      family: AF.INET6,
      dst: Address.parse("fd00:99::"),
      dstLength: 48,
      gateway: Address.parse("fd00:88::2"),
      priority: 20,
      tableId: 300,
      metrics: { mtu: 1290, advmss: 1210 },
    },
  },
  {
    name: "add IPv4 default",
    message: { ...unicast, family: AF.INET, gateway: Address.parse("10.88.0.3"), table: RT_TABLE.MAIN },
  },
];

describe("route requests", () => {
  it.each(requests)("$name: the meaning of iproute2's bytes", ({ name, message }) => {
    const theirs = bodyOf(FILE, name);
    const ours = routeMessage.encode(message);
    expect(ours.length).toBe(theirs.length);
    expect(routeMessage.decode(ours)).toEqual(routeMessage.decode(theirs));
  });

  it("add IPv4 with two ways: the bytes of iproute2", () => {
    const message = {
      family: AF.INET,
      dst: Address.parse("10.44.0.0"),
      dstLength: 16,
      table: RT_TABLE.MAIN,
      protocol: RTPROT_BOOT,
      type: RTN_UNICAST,
      nextHops: [
        { outIndex: 2, flags: 0, hops: 0, gateway: Address.parse("10.88.0.3") },
        { outIndex: 2, flags: 0, hops: 2, gateway: Address.parse("10.88.0.4") },
      ],
    };
    const theirs = bodyOf(FILE, "add IPv4 with two ways");
    expect(toHex(routeMessage.encode(message))).toBe(toHex(theirs));
    expect(routeMessage.decode(theirs)).toMatchObject(message);
  });

  it("has the metrics' bytes of iproute2, marked as a nest", () => {
    const metrics = toHex(hex("1400 0880  0800 0200 14050000  0800 0800 b0040000"));
    expect(toHex(routeMessage.encode({ metrics: { mtu: 1300, advmss: 1200 } }))).toContain(metrics);
    expect(toHex(bodyOf(FILE, "add IPv4"))).toContain(metrics.replace("0880", "0800"));
  });
});

describe("the kernel's answers", () => {
  it("an IPv4 route with metrics in a table beyond 255", () => {
    expect(routeMessage.decode(bodyOf(FILE, "IPv4 of table 1000"))).toEqual({
      ...unicast,
      family: AF.INET,
      dstLength: 16,
      srcLength: 0,
      tos: 0,
      table: 252, // RT_TABLE_COMPAT: it does not fit
      scope: RT_SCOPE.UNIVERSE,
      flags: 0,
      tableId: 1000,
      dst: Address.parse("10.99.0.0"),
      priority: 7,
      metrics: { mtu: 1300, advmss: 1200 },
      gateway: Address.parse("10.88.0.2"),
    });
  });

  it("an IPv6 route with metrics in a table beyond 255", () => {
    expect(routeMessage.decode(bodyOf(FILE, "IPv6 of table 300"))).toMatchObject({
      family: AF.INET6,
      dstLength: 48,
      tableId: 300,
      dst: Address.parse("fd00:99::"),
      gateway: Address.parse("fd00:88::2"),
      priority: 20,
      metrics: { mtu: 1290, advmss: 1210 },
    });
  });

  const all = splitMessages(vector(FILE, "IPv4 of all tables")).map(({ body }) => routeMessage.decode(body));

  it("the routes of all tables", () => {
    expect(all.map(({ tableId }) => tableId)).toEqual([1000, 254, 254, 254, 255, 255, 255, 255, 255]);
    expect(all[1]).toMatchObject({ dstLength: 0, gateway: Address.parse("10.88.0.3"), scope: RT_SCOPE.UNIVERSE });
    expect(all[1]?.dst).toBeUndefined();
    expect(all[2]).toMatchObject({ dst: Address.parse("10.77.0.0"), scope: RT_SCOPE.LINK });
    expect(all[3]).toMatchObject({ preferredSource: Address.parse("10.88.0.1"), protocol: 2 });
  });

  const twoWays = splitMessages(vector(FILE, "IPv6 with two ways")).map(({ body }) => routeMessage.decode(body));

  it("an IPv6 route with two ways, which the kernel made of two routes", () => {
    const [route, ...others] = twoWays.filter(({ nextHops }) => nextHops !== undefined);
    expect(others).toEqual([]);
    expect(route).toMatchObject({ dstLength: 0, priority: 1024 });
    expect(route?.outIndex).toBeUndefined();
    expect(route?.nextHops).toMatchObject([
      { gateway: Address.parse("fd00:88::3"), outIndex: 2 },
      { gateway: Address.parse("fd00:89::3"), outIndex: 6 },
    ]);
  });

  it("refuses next hops whose length cannot be, and names the attribute", () => {
    expect(() => routeMessage.decode(hex("02100000 fe030001 00000000  0c00 0900  0700 0000 02000000"))).toThrow(
      new RangeError("Cannot decode RTA_MULTIPATH: next hop at byte 0: length 7 of 8 bytes left"),
    );
  });

  it("every attribute survives decoding and encoding", () => {
    const six = routeMessage.decode(bodyOf(FILE, "IPv6 of table 300"));
    expect(six.unknownAttributes?.map(({ type }) => type)).toEqual([12, 20]); // RTA_CACHEINFO, RTA_PREF
    for (const message of [...all, ...twoWays, six]) expect(routeMessage.decode(routeMessage.encode(message))).toEqual(message);
  });

  it("names the metric that cannot be read", () => {
    expect(() => routeMessage.decode(hex("02100000 fe030001 00000000  0c00 0880  0500 0200 14000000"))).toThrow(
      new RangeError("Cannot decode RTA_METRICS: Cannot decode RTAX_MTU: 1 bytes, expected 4"),
    );
  });
});
