import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatResult, parseResult, printResult, requireAddresses } from "../../../src/cni/convert.ts";
import type { JsonObject } from "../../../src/cni/json.ts";
import type { Result } from "../../../src/cni/result.ts";
import { type Version, versions } from "../../../src/cni/version.ts";

const dns = { nameservers: ["10.1.2.1"], domain: "example.org", search: ["a"], options: ["ndots:5"] };
const link = { name: "eth0", mac: "c2:11:22:33:44:55", sandbox: "/run/netns/blue" };
const routes = [
  { dst: "0.0.0.0/0", gw: "10.1.2.1" },
  { dst: "fd01::/64", gw: "fd00::1" },
];
const extended = [
  { dst: "0.0.0.0/0", gw: "10.1.2.1", mtu: 1400, advmss: 1360, priority: 10, table: 100, scope: 0 },
  { dst: "fd01::/64", gw: "fd00::1" },
];

/** One result as each shape says it, with everything that the shape can say. */
const family = {
  ip4: { ip: "10.1.2.3/24", gateway: "10.1.2.1", routes: [routes[0]] },
  ip6: { ip: "fd00::3/64", gateway: "fd00::1", routes: [routes[1]] },
  dns,
};
const versioned = {
  interfaces: [link],
  ips: [
    { version: "4", interface: 0, address: "10.1.2.3/24", gateway: "10.1.2.1" },
    { version: "6", interface: 0, address: "fd00::3/64", gateway: "fd00::1" },
    { version: "4", interface: 0, address: "10.1.3.3/24" },
  ],
  routes: extended,
  dns,
};
const current = {
  interfaces: [{ ...link, mtu: 1400, socketPath: "/run/x.sock", pciID: "0000:00:1f.6" }],
  ips: versioned.ips.map(({ version: _version, ...ip }) => ip),
  routes: extended,
  dns,
};

type Shape = "family" | "versioned" | "current";
const shapeOf: Record<Version, Shape> = {
  "0.1.0": "family",
  "0.2.0": "family",
  "0.3.0": "versioned",
  "0.3.1": "versioned",
  "0.4.0": "versioned",
  "1.0.0": "current",
  "1.1.0": "current",
};
const input: Record<Shape, JsonObject> = { family, versioned, current };

// what is left of each fixture in each shape
const plainIps = [
  { address: "10.1.2.3/24", gateway: "10.1.2.1" },
  { address: "fd00::3/64", gateway: "fd00::1" },
];
const expected: Record<Shape, Record<Shape, JsonObject>> = {
  family: {
    family,
    versioned: { ips: plainIps.map((ip, index) => ({ version: index === 0 ? "4" : "6", ...ip })), routes, dns },
    current: { ips: plainIps, routes, dns },
  },
  versioned: { family, versioned, current: { ...current, interfaces: [link] } },
  current: { family, versioned, current },
};

const pairs = versions.flatMap((from) => versions.map((to) => ({ from, to })));

describe("conversion", () => {
  it.each(pairs)("from $from to $to", ({ from, to }) => {
    const result = parseResult({ cniVersion: from, ...input[shapeOf[from]] }, from);
    const wanted = { cniVersion: to, ...expected[shapeOf[from]][shapeOf[to]] };
    expect(JSON.parse(printResult(result, to))).toEqual(wanted);
  });

  it.each(pairs.filter(({ from, to }) => shapeOf[from] !== "family" && shapeOf[to] !== "family"))(
    "keeps keys nobody knows from $from to $to",
    ({ from, to }) => {
      const json = {
        cniVersion: from,
        ips: [{ address: "10.1.2.3/24", label: "x" }],
        interfaces: [{ name: "eth0", vendor: { a: 1 } }],
        routes: [{ dst: "0.0.0.0/0", onlink: true }],
        dns: { port: 53 },
        extra: [1],
      };
      const printed = JSON.parse(printResult(parseResult(json, from), to));
      expect(printed).toMatchObject({ ...json, cniVersion: to });
    },
  );

  it("gives the oldest versions the first address of each family and that family's routes", () => {
    const result: Result = {
      ips: [{ address: "fd00::3/64" }, { address: "10.1.2.3/24" }, { address: "fd00::4/64" }],
      routes: [
        { dst: "0.0.0.0/0", mtu: 1400 },
        { dst: "::/0", gw: "fd00::1" },
      ],
    };
    expect(formatResult(result, "0.2.0")).toEqual({
      cniVersion: "0.2.0",
      ip4: { ip: "10.1.2.3/24", routes: [{ dst: "0.0.0.0/0" }] },
      ip6: { ip: "fd00::3/64", routes: [{ dst: "::/0", gw: "fd00::1" }] },
      dns: {},
    });
  });

  it("drops routes of a family without address in the oldest versions", () => {
    expect(formatResult({ ips: [{ address: "10.1.2.3/24" }], routes: [{ dst: "::/0" }] }, "0.1.0")).toEqual({
      cniVersion: "0.1.0",
      ip4: { ip: "10.1.2.3/24" },
      dns: {},
    });
  });

  it.each(["0.1.0", "0.2.0"])("cannot say a result without addresses in %s", (version) => {
    expect(() => printResult({ interfaces: [link] }, version)).toThrow(
      expect.objectContaining({ code: 7, message: "cannot convert: no valid IP addresses" }),
    );
  });

  it("knows IPv4 in IPv6's clothes", () => {
    expect(formatResult({ ips: [{ address: "::ffff:10.1.2.3/120" }] }, "0.4.0")).toMatchObject({ ips: [{ version: "4" }] });
  });

  it("has no converter to a version that does not exist", () => {
    expect(() => printResult({}, "0.5.0")).toThrow(
      expect.objectContaining({ code: 1, message: "no converter for CNI result version 1.1.0 to 0.5.0" }),
    );
  });

  it("is its own inverse at 1.x for any result", () => {
    const text = fc.string({ minLength: 1 });
    const ip = fc.record({ address: fc.ipV4().map((ip4) => `${ip4}/24`), interface: fc.nat() }, { requiredKeys: ["address"] });
    const result = fc.record(
      {
        interfaces: fc.array(fc.record({ name: text, mac: text, mtu: fc.nat() }, { requiredKeys: ["name"] }), { minLength: 1 }),
        ips: fc.array(ip, { minLength: 1 }),
        routes: fc.array(fc.record({ dst: fc.constant("::/0"), table: fc.nat() }, { requiredKeys: ["dst"] }), { minLength: 1 }),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(result, fc.constantFrom<Version>("1.0.0", "1.1.0"), (any, version) => {
        expect(parseResult(JSON.parse(printResult(any as Result, version)), version)).toEqual(any);
      }),
    );
  });
});

describe("printed text", () => {
  const result: Result = {
    routes: [{ gw: "10.1.2.1", dst: "0.0.0.0/0" }],
    ips: [{ gateway: "10.1.2.1", address: "10.1.2.3/24", interface: 0 }],
    interfaces: [
      { sandbox: "/x", name: "eth0", mac: "c2:11:22:33:44:55", socketPath: "" },
      { name: "br0", sandbox: "" },
    ],
    dns: {},
  };

  it("has sorted keys and no empty dns from 1.0.0 on", () => {
    expect(printResult(result, "1.0.0")).toBe(`{
    "cniVersion": "1.0.0",
    "interfaces": [
        {
            "mac": "c2:11:22:33:44:55",
            "name": "eth0",
            "sandbox": "/x"
        },
        {
            "name": "br0"
        }
    ],
    "ips": [
        {
            "address": "10.1.2.3/24",
            "gateway": "10.1.2.1",
            "interface": 0
        }
    ],
    "routes": [
        {
            "dst": "0.0.0.0/0",
            "gw": "10.1.2.1"
        }
    ]
}
`);
  });

  it.each(["0.3.0", "0.3.1", "0.4.0"])("has Go's order and an empty dns at %s", (version) => {
    expect(printResult(result, version)).toBe(`{
    "cniVersion": "${version}",
    "interfaces": [
        {
            "name": "eth0",
            "mac": "c2:11:22:33:44:55",
            "sandbox": "/x"
        },
        {
            "name": "br0"
        }
    ],
    "ips": [
        {
            "version": "4",
            "interface": 0,
            "address": "10.1.2.3/24",
            "gateway": "10.1.2.1"
        }
    ],
    "routes": [
        {
            "dst": "0.0.0.0/0",
            "gw": "10.1.2.1"
        }
    ],
    "dns": {}
}
`);
  });

  it.each(["0.1.0", "0.2.0"])("is per family at %s", (version) => {
    expect(printResult(result, version)).toBe(`{
    "cniVersion": "${version}",
    "ip4": {
        "ip": "10.1.2.3/24",
        "gateway": "10.1.2.1",
        "routes": [
            {
                "dst": "0.0.0.0/0",
                "gw": "10.1.2.1"
            }
        ]
    },
    "dns": {}
}
`);
  });

  it("leaves out empty lists", () => {
    expect(formatResult({ interfaces: [], ips: [], routes: [] }, "0.4.0")).toEqual({ cniVersion: "0.4.0", dns: {} });
  });
});

describe("parseResult", () => {
  it("matches keys in any case", () => {
    expect(parseResult({ CNIVersion: "1.0.0", IPs: [{ Address: "10.1.2.3/24", Gateway: "" }], Routes: null }, "1.0.0")).toEqual({
      ips: [{ address: "10.1.2.3/24" }],
    });
  });

  it.each(["0.0.1", "2.0.0", ""])("does not know version %j", (version) => {
    expect(() => parseResult({}, version)).toThrow(
      expect.objectContaining({ code: 1, message: `unsupported CNI result version "${version}"` }),
    );
  });

  it.each([
    ["0.4.0", "1.0.0", "[0.3.0 0.3.1 0.4.0]"],
    ["1.1.0", "0.4.0", "[1.0.0 1.1.0]"],
    ["0.2.0", "9.9.9", "[0.1.0 0.2.0]"],
  ])("at %s refuses a body of %s", (version, body, supported) => {
    const message = `result type supports ${supported} but unmarshalled CNIVersion is "${body}"`;
    expect(() => parseResult({ cniVersion: body }, version)).toThrow(expect.objectContaining({ code: 1, message }));
  });

  it.each([
    ["0.3.0", "0.4.0"],
    ["1.1.0", "1.0.0"],
    ["0.1.0", "0.2.0"],
    ["0.1.0", ""],
    ["1.1.0", undefined],
  ])("at %s takes a body of %j", (version, body) => {
    expect(parseResult(body === undefined ? {} : { cniVersion: body }, version)).not.toHaveProperty("cniVersion");
  });

  it.each([
    ["1.1.0", { ips: [{ address: "10.1.2.3" }] }, "ips[0].address"],
    ["0.4.0", { interfaces: [{}] }, "interfaces[0].name"],
    ["0.2.0", { ip4: {} }, "ip4.ip"],
    ["1.0.0", { routes: {} }, "routes"],
    ["1.0.0", { dns: [] }, "dns"],
  ])("at %s refuses %j", (version, json, key) => {
    expect(() => parseResult(json, version)).toThrow(
      expect.objectContaining({ code: 6, message: expect.stringContaining(`"${key}"`) }),
    );
  });

  it.each([[[]], ["x"], [null], [5]])("refuses %j", (json) => {
    expect(() => parseResult(json, "1.1.0")).toThrow(expect.objectContaining({ code: 6 }));
  });
});

describe("requireAddresses", () => {
  it.each(versions.map((version) => ({ version, old: shapeOf[version] === "family" })))(
    "$version: refuses $old",
    ({ version, old }) => {
      expect(() => requireAddresses(version, true)).not.toThrow();
      const layer2 = () => requireAddresses(version, false);
      if (old) expect(layer2).toThrow(expect.objectContaining({ code: 7, details: expect.stringContaining("ipam") }));
      else expect(layer2).not.toThrow();
    },
  );
});
