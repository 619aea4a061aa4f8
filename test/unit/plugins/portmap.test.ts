import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CniError } from "../../../src/cni/error.ts";
import { formatHostPort, isAtLoopback } from "../../../src/firewall/host-port.ts";
import { type PortMapping, resolvePortmap, resolvePorts } from "../../../src/plugins/portmap-config.ts";

type Keys = Parameters<typeof resolvePortmap>[0];

function resolve(keys: Keys, options: { command?: string; args?: Record<string, string> } = {}) {
  const { command = "ADD", args = {} } = options;
  return resolvePortmap(keys, { command, cniVersion: "1.1.0", args: new Map(Object.entries(args)) });
}

function refusal(work: () => unknown): CniError {
  try {
    work();
  } catch (error) {
    if (error instanceof CniError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

const web: PortMapping = { hostPort: 8080, containerPort: 80, protocol: "tcp" };
const map = (...mappings: readonly Partial<PortMapping>[]) => resolvePorts(mappings.map((each) => ({ ...web, ...each })));
const shown = (...mappings: readonly Partial<PortMapping>[]) =>
  map(...mappings).ports.map((port) => `${formatHostPort(port)} ${port.families.join()}`);

describe("mappings", () => {
  it.each([
    [undefined, "8080/tcp 4,6"],
    ["", "8080/tcp 4,6"],
    ["0.0.0.0", "8080/tcp 4"],
    ["::", "8080/tcp 6"],
    ["192.0.2.1", "192.0.2.1:8080/tcp 4"],
    ["::ffff:192.0.2.1", "192.0.2.1:8080/tcp 4"],
    ["2001:db8::1", "[2001:db8::1]:8080/tcp 6"],
    ["127.0.0.1", "127.0.0.1:8080/tcp 4"],
  ])("with hostIP %j", (hostIP, expected) => {
    expect(shown(hostIP === undefined ? {} : { hostIP })).toEqual([expected]);
  });

  it.each(["tcp", "TCP", "Tcp", "", "udp", "SCTP"])("take protocol %j in any case", (protocol) => {
    expect(map({ protocol }).ports[0]?.protocol).toBe(protocol === "" ? "tcp" : protocol.toLowerCase());
  });

  it.each<[string, Partial<PortMapping>, string]>([
    ["another protocol", { protocol: "icmp" }, '"protocol" of host port 8080 is "icmp"'],
    ["a hostIP that is none", { hostIP: "eth0" }, '"hostIP" of host port 8080 is "eth0"'],
    ["a hostIP with a length", { hostIP: "192.0.2.1/24" }, '"hostIP" of host port 8080 is "192.0.2.1/24"'],
    ["no container port", { containerPort: 0 }, "Invalid container port number: 0"],
  ])("are refused for %s", (_title, more, words) => {
    const { code, message } = refusal(() => map(more));
    expect({ code, message }).toEqual({ code: 7, message: expect.stringContaining(words) });
  });

  it("of host port 0 are none", () => expect(map({ hostPort: 0, protocol: "any", hostIP: "any" }).ports).toEqual([]));

  it("may say the same twice, but not contradict each other", () => {
    expect(map({}, {}, { hostIP: "0.0.0.0" }).ports).toHaveLength(3);
    expect(refusal(() => map({}, { containerPort: 81 })).code).toBe(7);
    expect(refusal(() => map({ hostIP: "::" }, { containerPort: 81 })).code).toBe(7);
    expect(map({}, { hostIP: "192.0.2.1", containerPort: 81 }, { protocol: "udp", containerPort: 82 }).ports).toHaveLength(3);
    expect(map({ hostIP: "0.0.0.0" }, { hostIP: "::", containerPort: 81 }).ports).toHaveLength(2);
  });

  it("at ::1 are told and left out", () => {
    expect(map({ hostIP: "::1" })).toEqual({ ports: [], shortcomings: [expect.stringContaining("[::1]:8080/tcp")] });
  });

  it("are reached at 127.0.0.1 or not", () => {
    const at = (hostIP: string) => map({ hostIP }).ports.map(isAtLoopback);
    expect(["", "0.0.0.0", "127.0.0.1", "127.1.2.3"].flatMap(at)).toEqual([true, true, true, true]);
    expect(["::", "192.0.2.1", "128.0.0.1", "2001:db8::1"].flatMap(at)).toEqual([false, false, false, false]);
  });

  it("keep every port they are asked for, once for each family", () => {
    const mapping = fc.record({
      hostPort: fc.integer({ min: 1, max: 65_535 }),
      containerPort: fc.constant(80),
      protocol: fc.constantFrom("tcp", "UDP", "sctp"),
      hostIP: fc.constantFrom("", "0.0.0.0", "::", "192.0.2.1"),
    });
    fc.assert(
      fc.property(fc.array(mapping), (mappings) => {
        const { ports } = resolvePorts(mappings);
        expect(ports.map(({ hostPort, protocol }) => `${hostPort}/${protocol}`)).toEqual(
          mappings.map(({ hostPort, protocol }) => `${hostPort}/${protocol.toLowerCase()}`),
        );
      }),
    );
  });
});

describe("keys of the reference", () => {
  it.each(["iptables", "nftables", ""])("backend %j is served", (backend) => {
    expect(resolve({ backend }).masquerade).toBe("neighbours");
  });

  it.each<[Keys, string]>([
    [{ snat: false }, "nobody"],
    [{ snat: false, masqAll: true }, "nobody"],
    [{ masqAll: true }, "everybody"],
    [{ snat: true, masqAll: false }, "neighbours"],
  ])("%j", (keys, masquerade) => expect(resolve(keys).masquerade).toBe(masquerade));

  it("another backend is refused", () => {
    expect(refusal(() => resolve({ backend: "pf" }))).toMatchObject({
      code: 7,
      message: expect.stringContaining('unrecognized backend "pf"'),
    });
  });

  it.each<[keyof Keys, Keys]>([
    ["externalSetMarkChain", { externalSetMarkChain: "KUBE-MARK-MASQ" }],
    ["markMasqBit", { markMasqBit: 13 }],
    ["markMasqBit", { markMasqBit: 0 }],
    ["conditionsV4", { conditionsV4: ["!", "-d", "192.0.2.0/24"] }],
    ["conditionsV6", { conditionsV6: ["ip6", "daddr", "!=", "2001:db8::/32"] }],
  ])("%s is refused by name, with what to use instead", (key, keys) => {
    const { code, message, details } = refusal(() => resolve(keys));
    expect({ code, message }).toEqual({ code: 2, message: expect.stringContaining(`"${key}" is ${JSON.stringify(keys[key])}`) });
    expect(details).toMatch(/leave it out|hostIP/);
  });

  it("that say nothing are fine", () => {
    expect(resolve({ externalSetMarkChain: "", conditionsV4: [], conditionsV6: [] }).ports).toEqual([]);
  });

  it.each(["DEL", "GC"])("keep nothing from being removed by %s", (command) => {
    const keys: Keys = { backend: "pf", markMasqBit: 13, runtimeConfig: { portMappings: [{ ...web, protocol: "icmp" }] } };
    expect(resolve(keys, { command }).ports).toEqual([]);
  });

  it("the pod is known from CNI_ARGS", () => {
    expect(resolve({}, { args: { K8S_POD_NAMESPACE: "default", K8S_POD_NAME: "web-0" } }).pod).toBe("default/web-0");
  });
});
