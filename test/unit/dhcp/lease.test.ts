import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeFrame } from "../../../src/dhcp/frame.ts";
import { type Lease, leaseFrom, leaseResult, sameConfiguration, shiftLease } from "../../../src/dhcp/lease.ts";
import { leaseFromJson, leaseToJson } from "../../../src/dhcp/lease-json.ts";
import { decodeMessage } from "../../../src/dhcp/message.ts";
import { hex } from "../../support/hex.ts";
import { dnsmasqAck, udhcpdAck } from "./captured.ts";
import { reply, type Values } from "./replies.ts";

function captured(frame: string): Lease {
  const message = decodeMessage(decodeFrame(hex(frame), { unchecked: true })?.payload ?? new Uint8Array());
  if (message === undefined) throw new Error("not read");
  return leaseFrom(message, { sentAt: 1000 });
}

function leaseWith(values: Values, yiaddr = "10.9.0.53"): Lease {
  return leaseFrom(reply("ACK", { yiaddr, values }), { sentAt: 0 });
}

function seconds(lease: Lease): number[] {
  return [lease.renewAt, lease.rebindAt, lease.expiresAt].map((ms) => (ms - lease.startsAt) / 1000);
}

describe("a lease", () => {
  it("of dnsmasq becomes a result with option 121's routes, DNS and search list", () => {
    const lease = captured(dnsmasqAck);
    expect(leaseResult(lease, { priority: 50 })).toEqual({
      ips: [{ address: "10.9.0.53/24", gateway: "10.9.0.1" }],
      routes: [
        { dst: "10.20.0.0/16", gw: "10.9.0.2", priority: 50 },
        { dst: "0.0.0.0/0", gw: "10.9.0.1", priority: 50 },
        { dst: "169.254.169.254/32", scope: 253, priority: 50 },
      ],
      dns: {
        nameservers: ["10.9.0.1", "9.9.9.9"],
        domain: "example.org",
        search: ["a.example.org", "b.example.org", "example.org"],
      },
    });
    expect(lease).toMatchObject({ startsAt: 1000, renewAt: 61_000, rebindAt: 106_000, expiresAt: 121_000, mtu: 1400 });
  });

  it("of udhcpd, which says no T1 and T2, is renewed after a half and rebound after seven eighths", () => {
    const lease = captured(udhcpdAck);
    expect(seconds(lease)).toEqual([5, 8.75, 10]);
    expect(leaseResult(lease)).toEqual({
      ips: [{ address: "10.9.0.71/24", gateway: "10.9.0.1" }],
      routes: [{ dst: "10.30.0.0/16", gw: "10.9.0.3" }],
      dns: { nameservers: ["10.9.0.1"], domain: "local", search: ["x.example.com", "y.example.com"] },
    });
  });

  it("without option 121 has option 33's routes and a default route by the first router", () => {
    const lease = leaseWith({ "static-routes": hex("c0a80500 0a090002"), routers: hex("0a090001 0a0900fe") });
    expect(leaseResult(lease).routes).toEqual([
      { dst: "192.168.5.0/24", gw: "10.9.0.2" },
      { dst: "0.0.0.0/0", gw: "10.9.0.1" },
    ]);
    expect(lease.routers.map(String)).toEqual(["10.9.0.1", "10.9.0.254"]);
  });

  it("with a malformed option 121 goes by 33 and 3", () => {
    expect(leaseResult(leaseWith({ "classless-static-routes": hex("21") })).routes).toEqual([
      { dst: "0.0.0.0/0", gw: "10.9.0.1" },
    ]);
  });

  it("without routers has no gateway and no routes; without names an empty dns", () => {
    expect(leaseResult(leaseWith({ routers: undefined }))).toEqual({ ips: [{ address: "10.9.0.53/24" }], routes: [], dns: {} });
  });

  it.each([
    ["10.9.0.53", "10.9.0.53/8"],
    ["172.20.0.5", "172.20.0.5/16"],
    ["192.168.3.4", "192.168.3.4/24"],
  ])("of %s without mask has its class's", (yiaddr, address) => {
    expect(`${leaseWith({ "subnet-mask": undefined }, yiaddr).address}`).toBe(address);
  });

  it.each<[string, Values, number[]]>([
    ["nothing about times", { "dhcp-lease-time": undefined }, [1800, 3150, 3600]],
    ["T1 and T2", { "dhcp-renewal-time": 10, "dhcp-rebinding-time": 20 }, [10, 20, 120]],
    ["T1 only", { "dhcp-renewal-time": 100 }, [100, 105, 120]],
    ["T1 behind T2", { "dhcp-renewal-time": 110, "dhcp-rebinding-time": 20 }, [60, 105, 120]],
    ["T2 behind the end", { "dhcp-rebinding-time": 121 }, [60, 105, 120]],
    ["T1 of 0", { "dhcp-renewal-time": 0 }, [60, 105, 120]],
    ["one second", { "dhcp-lease-time": 1 }, [0.5, 0.875, 1]],
    ["136 years less one second", { "dhcp-lease-time": 0xfffffffe }, [0x7fffffff, (0xfffffffe * 7) / 8, 0xfffffffe]],
    ["no end", { "dhcp-lease-time": 0xffffffff }, [Infinity, Infinity, Infinity]],
  ])("that says %s has these times", (_, values, expected) => {
    expect(seconds(leaseWith(values))).toEqual(expected);
  });

  it.each<[string, Values, string, string]>([
    ["0.0.0.0", {}, "0.0.0.0", "address 0.0.0.0 is none of a host"],
    ["loopback", {}, "127.0.0.9", "address 127.0.0.9 is none of a host"],
    ["multicast", {}, "224.0.0.1", "address 224.0.0.1 is none of a host"],
    ["a mask with holes", { "subnet-mask": "255.0.255.0" }, "10.9.0.53", "subnet mask 255.0.255.0 is no mask"],
    ["no bits in its mask", { "subnet-mask": "0.0.0.0" }, "10.9.0.53", "subnet mask 0.0.0.0 is no mask"],
    ["no server", { "dhcp-server-identifier": undefined }, "10.9.0.53", "no server identifier"],
    ["server 0.0.0.0", { "dhcp-server-identifier": "0.0.0.0" }, "10.9.0.53", "no server identifier"],
    ["no time", { "dhcp-lease-time": 0 }, "10.9.0.53", "lease time 0"],
  ])("with %s is refused", (_, values, yiaddr, why) => {
    expect(() => leaseWith(values, yiaddr)).toThrow(why);
  });

  it("leaves out values that mean nothing", () => {
    const lease = leaseWith({
      routers: hex("00000000 0a090001"),
      "domain-name-servers": hex("0a090001 00000000 0a090001"),
      "domain-name": Buffer.from("a b\n"),
      "domain-search": hex("c000"),
      "interface-mtu": hex("0043"),
    });
    expect(leaseResult(lease)).toMatchObject({ ips: [{ gateway: "10.9.0.1" }], dns: { nameservers: ["10.9.0.1"] } });
    expect(lease).toMatchObject({ domain: undefined, search: [], mtu: undefined });
  });

  it.each<[string, Values, string, boolean]>([
    ["only its times", { "dhcp-lease-time": 300 }, "10.9.0.53", true],
    ["its server", { "dhcp-server-identifier": "10.9.0.2" }, "10.9.0.53", true],
    ["its address", {}, "10.9.0.54", false],
    ["its mask", { "subnet-mask": "255.255.0.0" }, "10.9.0.53", false],
    ["its router", { routers: "10.9.0.3" }, "10.9.0.53", false],
    ["a name server", { "domain-name-servers": "10.9.0.3" }, "10.9.0.53", false],
    ["its MTU", { "interface-mtu": hex("0578") }, "10.9.0.53", false],
  ])("that differs in %s", (_, values, yiaddr, same) => {
    expect(sameConfiguration(leaseWith({}), leaseWith(values, yiaddr))).toBe(same);
  });

  it("moves to another clock, without end or with", () => {
    expect(shiftLease(leaseWith({}), 5000)).toMatchObject({
      startsAt: 5000,
      renewAt: 65_000,
      rebindAt: 110_000,
      expiresAt: 125_000,
    });
    expect(shiftLease(leaseWith({ "dhcp-lease-time": 0xffffffff }), 5000)).toMatchObject({ startsAt: 5000, expiresAt: Infinity });
  });
});

describe("a lease on disk", () => {
  const samples = [captured(dnsmasqAck), captured(udhcpdAck), leaseWith({ "dhcp-lease-time": 0xffffffff, routers: undefined })];

  it.each(samples)("reads back as it was written", (lease) => {
    expect(leaseFromJson(JSON.parse(JSON.stringify(leaseToJson(lease))))).toEqual(lease);
  });

  it("ignores keys of later versions", () => {
    const [lease = leaseWith({})] = samples;
    expect(leaseFromJson({ ...leaseToJson(lease), later: true })).toEqual(lease);
  });

  it.each([
    ["address", "10.9.0.53"],
    ["address", "fd00::1/64"],
    ["routers", "10.9.0.1"],
    ["routers", ["x"]],
    ["server", undefined],
    ["startsAt", null],
    ["startsAt", "0"],
    ["expiresAt", Number.NaN],
    ["routes", [{ gw: "10.9.0.1" }]],
    ["routes", [{ dst: "10.0.0.0/8", gw: "fd00::1" }]],
    ["routes", [null]],
    ["nameservers", [1]],
    ["domain", "a\nb"],
    ["search", ["ok", "a b"]],
    ["mtu", "1400"],
  ])("whose %s is %j is refused by that name", (key, value) => {
    expect(() => leaseFromJson({ ...leaseToJson(captured(dnsmasqAck)), [key]: value })).toThrow(`Cannot read lease: "${key}" is`);
  });

  it("whose times are out of order, or that is no object, is refused", () => {
    expect(() => leaseFromJson({ ...leaseToJson(captured(dnsmasqAck)), renewAt: null })).toThrow("its times are not in order");
    for (const json of [null, [], "x", 1]) expect(() => leaseFromJson(json)).toThrow('"lease" is');
  });

  it("of any JSON is read or refused with a RangeError", () => {
    const json = leaseToJson(captured(dnsmasqAck));
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(json)), fc.jsonValue(), (key, value) => {
        try {
          leaseFromJson({ ...json, [key]: value });
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
    );
  });
});
