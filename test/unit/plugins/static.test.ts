import { describe, expect, it } from "vitest";
import { callIpam, type IpamCall } from "./call-ipam.ts";

type Options = Partial<Omit<IpamCall, "type" | "command">>;

const addresses = [{ address: "10.1.2.3/24", gateway: "10.1.2.1" }, { address: "fd00::3/64" }];

function call({ command = "ADD", ipam = { addresses }, ...more }: Options & { command?: string }) {
  return callIpam({ type: "static", command, ipam, ...more });
}

function ipsOf(options: Options): unknown {
  const { json } = call(options);
  return json instanceof Object && "ips" in json ? json.ips : json;
}

describe("ADD", () => {
  it("answers what is written", () => {
    const routes = [{ dst: "0.0.0.0/0", gw: "10.1.2.1", priority: 7 }];
    const dns = { nameservers: ["192.0.2.1"], domain: "example.com", search: ["a"], options: ["ndots:2"] };
    expect(call({ ipam: { addresses, routes, dns } })).toEqual({
      exitCode: 0,
      stderr: "",
      commands: [],
      json: { cniVersion: "1.1.0", ips: addresses, routes, dns },
    });
  });

  it("answers without addresses too: the plugin that asks decides", () => {
    expect(call({ ipam: {} })).toMatchObject({ exitCode: 0, json: { cniVersion: "1.1.0" } });
  });

  it("appends addresses of CNI_ARGS and gives its gateways to every network they lie in", () => {
    expect(ipsOf({ args: "IP=10.1.2.9/24, 192.0.2.9/25;GATEWAY=10.1.2.254,192.0.2.1,203.0.113.1" })).toEqual([
      { address: "10.1.2.3/24", gateway: "10.1.2.254" },
      { address: "fd00::3/64" },
      { address: "10.1.2.9/24", gateway: "10.1.2.254" },
      { address: "192.0.2.9/25", gateway: "192.0.2.1" },
    ]);
  });

  it("lets args replace the list, and runtimeConfig replace that", () => {
    const args = { args: { cni: { ips: ["192.0.2.5/24"] } } };
    expect(ipsOf({ more: args })).toEqual([{ address: "192.0.2.5/24" }]);
    expect(ipsOf({ args: "IP=10.9.9.9/24", more: { ...args, RuntimeConfig: { IPs: ["192.0.2.6/24"] } } })).toEqual([
      { address: "192.0.2.6/24" },
    ]);
    expect(ipsOf({ more: { runtimeConfig: { ips: [] } } })).toEqual(addresses);
  });

  it("keeps the gateway of a configured network for an address that replaces it, where it can be reached", () => {
    expect(ipsOf({ more: { runtimeConfig: { ips: ["10.1.2.77/24", "fd00::77/64", "10.1.2.133/26", "10.1.3.1/24"] } } })).toEqual([
      { address: "10.1.2.77/24", gateway: "10.1.2.1" },
      { address: "fd00::77/64" },
      { address: "10.1.2.133/26" },
      { address: "10.1.3.1/24" },
    ]);
    expect(ipsOf({ args: "GATEWAY=10.1.2.254", more: { runtimeConfig: { ips: ["10.1.2.77/24"] } } })).toEqual([
      { address: "10.1.2.77/24", gateway: "10.1.2.254" },
    ]);
  });

  it.each([
    [
      "an address without length",
      { ipam: { addresses: [{ address: "10.1.2.3" }] } },
      '"ipam.addresses[0].address" is "10.1.2.3": expected',
    ],
    [
      "a gateway that is none",
      { ipam: { addresses: [{ address: "10.1.2.3/24", gateway: "x" }] } },
      '"ipam.addresses[0].gateway" is "x": expected',
    ],
    [
      "an ip without length",
      { more: { runtimeConfig: { ips: ["10.1.2.3"] } } },
      '"runtimeConfig.ips[0]" is "10.1.2.3": expected',
    ],
    [
      "an args ip without length",
      { more: { args: { cni: { ips: ["10.1.2.3"] } } } },
      '"args.cni.ips[0]" is "10.1.2.3": expected',
    ],
    [
      "IP without length",
      { args: "IP=10.1.2.3" },
      'IP in CNI_ARGS is "10.1.2.3", expected an address with the length of its network',
    ],
    [
      "GATEWAY with length",
      { args: "GATEWAY=10.1.2.1/24" },
      'GATEWAY in CNI_ARGS is "10.1.2.1/24", expected an IPv4 or IPv6 address',
    ],
    [
      "two addresses of a family for an old version",
      { cniVersion: "0.2.0", args: "IP=10.1.2.9/24" },
      "CNI version 0.2.0 does not support more than 1 address per family",
    ],
  ])("refuses %s", (_, options, message) => {
    expect(call(options)).toMatchObject({ exitCode: 1, json: { code: 7, msg: expect.stringContaining(message) } });
  });
});

describe("CHECK", () => {
  const check = (ips: object[]) => call({ command: "CHECK", more: { prevResult: { cniVersion: "1.1.0", ips } } });

  it("passes when prevResult has every address, in any spelling, beside others", () => {
    const ips = [
      { address: "192.0.2.1/24" },
      { address: "FD00:0::3/64", gateway: "fd00::1" },
      { address: "10.1.2.3/24", gateway: "10.1.2.1" },
    ];
    expect(check(ips)).toMatchObject({ exitCode: 0, commands: [], json: undefined });
  });

  it.each([
    ["a missing address", [{ address: "10.1.2.3/24", gateway: "10.1.2.1" }], "Cannot find address fd00::3/64 of"],
    ["another length", [{ address: "10.1.2.3/16", gateway: "10.1.2.1" }], "its addresses are 10.1.2.3/16"],
    ["no addresses", [], "its addresses are none"],
    ["another gateway", [{ address: "10.1.2.3/24", gateway: "10.1.2.2" }], "expected 10.1.2.1, prevResult has 10.1.2.2"],
    ["no gateway", [{ address: "10.1.2.3/24" }], "expected 10.1.2.1, prevResult has none"],
  ])("fails with %s", (_, ips, message) => {
    expect(check(ips)).toMatchObject({ exitCode: 1, json: { code: 999, msg: expect.stringContaining(message) } });
  });
});

describe("the other verbs", () => {
  it.each(["DEL", "GC"])("%s has nothing to do, whatever CNI_ARGS says", (command) => {
    const answer = call({ command, args: "IP=fish", more: { "cni.dev/valid-attachments": [] } });
    expect(answer).toEqual({ exitCode: 0, stderr: "", commands: [], json: undefined });
  });

  it("STATUS is good when the configuration is", () => {
    expect(call({ command: "STATUS" })).toEqual({ exitCode: 0, stderr: "", commands: [], json: undefined });
  });
});
