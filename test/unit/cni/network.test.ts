import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { ipam } from "../../../src/cni/config.ts";
import { commands } from "../../../src/cni/invocation.ts";
import { readConfiguration, readHeader, requireName, requireVersion } from "../../../src/cni/network.ts";
import { versions } from "../../../src/cni/version.ts";
import { fakePlugin } from "../../support/fake-plugin.ts";

const plugin = fakePlugin([]);

describe("name", () => {
  it.each(["net1", "0", "a_b-c.d", "N".repeat(200)])("%s is one", (name) => {
    expect(requireName(readHeader({ name }))).toBe(name);
  });

  it.each([{}, { name: "" }, { name: null }])("is missing in %j", (raw) => {
    expect(() => requireName(readHeader(raw))).toThrow(expect.objectContaining({ code: 7, message: "missing network name" }));
  });

  it.each(["-x", "../x", "a/b", "a b", ".x", "é", "a\n"])("%j is none", (name) => {
    expect(() => requireName(readHeader({ name }))).toThrow(
      expect.objectContaining({ code: 7, message: "invalid characters found in network name", details: name }),
    );
  });

  it("must be text", () => {
    expect(() => readHeader({ name: 5 })).toThrow(
      expect.objectContaining({ code: 7, message: expect.stringContaining('"name" is 5') }),
    );
  });

  it("is found in any case", () => {
    expect(readHeader({ Name: "net1", CNIVersion: "1.0.0" })).toMatchObject({ name: "net1", cniVersion: "1.0.0" });
  });
});

describe("version", () => {
  const minimum: Partial<Record<string, string>> = { CHECK: "0.4.0", GC: "1.1.0", STATUS: "1.1.0" };
  const rows = commands.flatMap((command) => versions.map((version) => ({ command, version })));

  it.each(rows)("$command at $version", ({ command, version }) => {
    const read = () => requireVersion({ name: "net1", cniVersion: version }, command);
    if (version >= (minimum[command] ?? "")) expect(read()).toBe(version);
    else expect(read).toThrow(expect.objectContaining({ code: 1, message: `config version does not allow ${command}` }));
  });

  it.each([{}, { cniVersion: "" }, { cniVersion: null }])("is 0.1.0 in %j", (raw) => {
    expect(requireVersion(readHeader(raw), "ADD")).toBe("0.1.0");
    expect(() => requireVersion(readHeader(raw), "CHECK")).toThrow("config version does not allow CHECK");
  });

  it.each(commands)("that does not exist is refused for %s", (command) => {
    expect(() => requireVersion({ name: "net1", cniVersion: "9.9.9" }, command)).toThrow(
      expect.objectContaining({
        code: 1,
        message: "incompatible CNI versions",
        details: 'config is "9.9.9", plugin supports ["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]',
      }),
    );
  });
});

describe("readConfiguration", () => {
  const tolerated = {
    cniVersion: "1.1.0",
    Name: "net1",
    type: "fake",
    IPAM: { type: "host-local", Subnet: "10.1.2.0/24" },
    dns: { nameservers: ["10.1.2.1"] },
    prevResult: { foo: 1 },
    runtimeConfig: { mac: "c2:11:22:33:44:55", foo: 1 },
    args: { cni: { foo: 1 } },
    capabilities: { mac: true },
    cniVersions: ["1.0.0", "1.1.0"],
    disableCheck: "true",
    disableGC: true,
    loadOnlyInlinedPlugins: false,
    "CNI.dev/valid-attachments": [],
    "cni.dev/attachments": [],
  };

  it("gives the plugin its keys", () => {
    expect(readConfiguration(plugin, { ...tolerated, MTU: 1400 }).keys).toEqual({
      mtu: 1400,
      ipam: { type: "host-local", Subnet: "10.1.2.0/24" },
      runtimeConfig: { mac: "c2:11:22:33:44:55" },
    });
  });

  it("matches capability keys in any case", () => {
    expect(readConfiguration(plugin, { RuntimeConfig: { Mac: "x" } }).keys).toEqual({ runtimeConfig: { mac: "x" } });
  });

  it("ignores what everybody may have without a word", () => {
    expect(readConfiguration(plugin, tolerated).ignored).toEqual([]);
  });

  it("lists what nobody knows", () => {
    const config = { Mtuu: 1400, vlanTrunk: [{ min: 1 }], ...tolerated };
    expect(readConfiguration(plugin, config).ignored).toEqual(["Mtuu", "vlanTrunk[0].min"]);
  });

  it.each([
    ["ipam", "x"],
    ["ipam", []],
    ["ipam", { type: 5 }],
    ["dns", { search: "x" }],
    ["prevResult", []],
    ["runtimeConfig", 5],
    ["args", "x"],
    ["cni.dev/valid-attachments", {}],
    ["cni.dev/valid-attachments", [{ containerID: "a" }]],
    ["cni.dev/attachments", [null]],
  ])("checks %s: %j is refused", (key, value) => {
    const bare = { ...plugin, schema: () => v.object({}) };
    expect(() => readConfiguration(bare, { [key]: value })).toThrow(
      expect.objectContaining({ code: 7, message: expect.stringContaining(`"${key}`) }),
    );
  });
});

describe("attachments", () => {
  const list = [{ ContainerID: "a", IFNAME: "eth0", other: 1 }];
  const read = [{ containerId: "a", ifname: "eth0" }];

  it.each([
    [{ "cni.dev/valid-attachments": list }, read],
    [{ "cni.dev/attachments": list }, read],
    [{ "cni.dev/attachments": [], "cni.dev/valid-attachments": list }, read],
    [{ "cni.dev/attachments": list, "cni.dev/valid-attachments": [] }, []],
    [{ "cni.dev/attachments": list, "cni.dev/valid-attachments": null }, []],
    [{ "cni.dev/valid-attachments": null }, []],
    [{ "cni.dev/attachments": null }, []],
    [{}, undefined],
  ])("of %j", (raw, valid) => {
    expect(readConfiguration(plugin, raw).valid).toEqual(valid);
  });

  it("are checked one by one as soon as one of many is not spelled as it should be", () => {
    const many = Array.from({ length: 1000 }, (_, at) => ({ containerID: `c${at}`, ifname: "eth0" }));
    const all = many.map(({ containerID, ifname }) => ({ containerId: containerID, ifname }));
    const valid = (list: unknown[], older: unknown[] = []) =>
      readConfiguration(plugin, { "cni.dev/valid-attachments": list, "cni.dev/attachments": older }).valid ?? [];
    expect(valid(many, many)).toEqual(all);
    expect(valid([...many, { ifName: "eth1", containerID: "x" }])).toEqual([...all, { containerId: "x", ifname: "eth1" }]);
    expect(valid([{ ifname: "eth1", containerID: "x", CONTAINERID: "y" }])).toEqual([{ containerId: "y", ifname: "eth1" }]);
    const wrong = (item: unknown, place: string, words: string) => {
      expect(() => valid([...many, item])).toThrow(`"cni.dev/valid-attachments[1000]${place}" ${words}`);
      expect(() => valid(many, [...many, item])).toThrow(`"cni.dev/attachments[1000]${place}" ${words}`);
    };
    wrong({ containerID: "x" }, ".ifname", "is missing");
    wrong({ containerID: "x", ifname: 5 }, ".ifname", "is 5: expected a string");
    wrong("x", "", 'is "x": expected an object');
  });
});

describe("an IPAM plugin", () => {
  const schema = () =>
    v.object({
      ipam: v.object({ type: v.exactOptional(v.string()), subnet: v.exactOptional(v.string()) }),
      runtimeConfig: v.exactOptional(v.object({ ips: v.exactOptional(v.array(v.string())) })),
    });
  const local = { ...plugin, schema, ipam: true as const };
  const config = { bridge: "cni0", mtu: "of no concern", runtimeConfig: { IPs: ["10.1.2.3"], mac: "x" } };

  it("looks at ipam alone", () => {
    expect(readConfiguration(local, { ...config, ipam: { Type: "x", Subnet: "10.1.2.0/24", rangestart: 1 } })).toMatchObject({
      keys: { ipam: { type: "x", subnet: "10.1.2.0/24" }, runtimeConfig: { ips: ["10.1.2.3"] } },
      ignored: ["ipam.rangestart"],
    });
  });

  it("says when there is none", () => {
    expect(() => readConfiguration(local, config)).toThrow('Cannot use network configuration: "ipam" is missing');
  });

  it("refuses no unknown key in ipam even when strict", () => {
    expect(readConfiguration({ ...local, strict: true }, { ...config, ipam: { foo: 1 } }).ignored).toEqual(["ipam.foo"]);
  });
});

describe("a strict plugin", () => {
  const strict = {
    ...fakePlugin([], { schema: () => v.object({ mtu: v.exactOptional(v.number()), ipam: v.exactOptional(ipam) }) }),
    strict: true as const,
  };

  it("refuses an unknown key by name and value", () => {
    expect(() => readConfiguration(strict, { name: "net1", Mtuu: { a: 1 }, foo: 2 })).toThrow(
      expect.objectContaining({
        code: 2,
        message: 'Cannot use network configuration: "Mtuu" is {"a":1}: not supported',
        details: 'plugin type "fake" has no such key; nor foo',
      }),
    );
  });

  it("allows any in ipam, args and runtimeConfig", () => {
    const config = { ipam: { foo: 1 }, args: { cni: { foo: 1 } }, runtimeConfig: { foo: 1 }, cniVersion: "1.1.0", type: "x" };
    expect(readConfiguration(strict, config).ignored).toEqual([]);
  });
});
