import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { clientIdOf, resolveOptions } from "../../../src/dhcp/options.ts";
import { toHex } from "../../support/hex.ts";

const noArgs = new Map<string, string>();

function provided(
  entry: { option: string; value?: string; fromArg?: string },
  args: ReadonlyMap<string, string> = noArgs,
): string[] {
  return [...resolveOptions({ provide: [entry], args }).provide].map(
    ([code, value]) => `${code} ${Buffer.from(value).toString("latin1")}`,
  );
}

describe("options to provide", () => {
  it.each([
    ["host-name", "pod-a", "12 pod-a"],
    ["12", "pod-a", "12 pod-a"],
    ["vendor-class-identifier", "podlink", "60 podlink"],
    ["user-class", "ü", `77 ${Buffer.from("ü").toString("latin1")}`],
    ["dhcp-client-identifier", "me", "61 me"],
    ["224", "10.0.0.1", "224 10.0.0.1"],
    ["dhcp-requested-address", "10.9.0.5", "50 \n\t\0\x05"],
    ["dhcp-lease-time", "3600", "51 \0\0\x0e\x10"],
    ["dhcp-max-message-size", "576", "57 \x02@"],
  ])("%s with value %j are bytes", (option, value, expected) => {
    expect(provided({ option, value })).toEqual([expected]);
  });

  it("come from CNI_ARGS, where the value stands in for a missing argument", () => {
    const args = new Map([["K8S_POD_NAME", "web-0"]]);
    expect(provided({ option: "host-name", fromArg: "K8S_POD_NAME" }, args)).toEqual(["12 web-0"]);
    expect(provided({ option: "host-name", fromArg: "K8S_POD_NAME", value: "x" }, args)).toEqual(["12 web-0"]);
    expect(provided({ option: "host-name", fromArg: "OTHER", value: "x" }, args)).toEqual(["12 x"]);
    expect(provided({ option: "host-name", fromArg: "OTHER" }, args)).toEqual([]);
    expect(provided({ option: "host-name" }, args)).toEqual([]);
  });

  it.each([
    ["hostname", "x", 'Cannot use option "hostname" of provide[0]: neither a number 0..255 nor one of subnet-mask'],
    ["256", "x", 'Cannot use option "256"'],
    ["0", "x", 'Cannot provide option "0": podlink sets it itself'],
    ["255", "x", 'Cannot provide option "255": podlink sets it itself'],
    ["53", "x", 'Cannot provide option "53": podlink sets it itself'],
    ["dhcp-server-identifier", "x", "podlink sets it itself"],
    ["dhcp-requested-address", "x", 'Cannot provide option 50: "x" is no IPv4 address'],
    ["dhcp-requested-address", "fd00::1", "is no IPv4 address"],
    ["dhcp-lease-time", "4294967296", 'Cannot provide option 51: "4294967296" is no number of 4 bytes'],
    ["dhcp-lease-time", "-1", "is no number of 4 bytes"],
    ["host-name", "x".repeat(256), 'Cannot provide option "host-name": 256 bytes, at most 255 are allowed'],
  ])("%s with value %.9j are refused", (option, value, message) => {
    expect(() => provided({ option, value })).toThrow(message);
  });

  it("that do not fit a message are refused", () => {
    const provide = [1, 2, 3, 4].map((i) => ({ option: `${220 + i}`, value: "x".repeat(255) }));
    expect(() => resolveOptions({ provide, args: noArgs })).toThrow(
      "Cannot provide options of 1028 bytes: 1000 fit into a message",
    );
    expect(resolveOptions({ provide: provide.slice(1), args: noArgs }).provide.size).toBe(3);
  });
});

describe("options to request", () => {
  const defaults = [1, 121, 3, 33, 6, 15, 119, 26, 51, 58, 59];

  it("are what a lease is made of, classless routes before those they replace", () => {
    expect(resolveOptions({ args: noArgs }).request).toEqual(defaults);
  });

  it("are added to, once each", () => {
    expect(
      resolveOptions({ request: [{ option: "ntp-servers" }, { option: "3" }, { option: "42" }], args: noArgs }).request,
    ).toEqual([...defaults, 42]);
  });

  it("are the list's alone with skipDefault anywhere in it", () => {
    expect(resolveOptions({ request: [{ option: "routers" }, { skipDefault: true }], args: noArgs }).request).toEqual([3]);
    expect(resolveOptions({ request: [{ skipDefault: true, option: "121" }], args: noArgs }).request).toEqual([121]);
    expect(resolveOptions({ request: [{ skipDefault: true }], args: noArgs }).request).toEqual([]);
    expect(resolveOptions({ request: [{ skipDefault: false }], args: noArgs }).request).toEqual(defaults);
  });

  it.each([
    ["router", 'Cannot use option "router" of request[0]'],
    ["0", 'Cannot request option "0": it has no value'],
    ["255", 'Cannot request option "255": it has no value'],
  ])("named %s are refused", (option, message) => {
    expect(() => resolveOptions({ request: [{ option }], args: noArgs })).toThrow(message);
  });
});

describe("a client identifier", () => {
  const attachment = { containerId: "c0ffee", network: "lan", ifname: "eth0" };

  it("is type 0, container, network and interface", () => {
    expect(toHex(clientIdOf(attachment))).toBe(`00${Buffer.from("c0ffee/lan/eth0").toString("hex")}`);
  });

  it("is whole up to 254 bytes, and ends in a hash beyond", () => {
    const longest = { ...attachment, containerId: "c".repeat(254 - "/lan/eth0".length) };
    expect(Buffer.from(clientIdOf(longest)).toString()).toBe(`\0${longest.containerId}/lan/eth0`);
    const longer = { ...attachment, containerId: `${longest.containerId}c` };
    expect(Buffer.from(clientIdOf(longer)).toString()).toMatch(/^\0c{189}\/[0-9a-f]{64}$/);
  });

  it("is each attachment's own and fits an option", () => {
    const id = fc
      .string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 4 })
      .chain((end) => fc.nat(300).map((n) => "x".repeat(n) + end));
    fc.assert(
      fc.property(id, id, (a, b) => {
        const [first, second] = [a, b].map((containerId) => toHex(clientIdOf({ ...attachment, containerId })));
        expect(first === second).toBe(a === b);
        expect((first ?? "").length / 2).toBeLessThanOrEqual(255);
      }),
    );
  });
});
