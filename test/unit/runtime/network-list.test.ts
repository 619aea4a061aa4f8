import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { listOfSinglePlugin, parseNetworkList } from "../../../src/runtime/network-list.ts";
import { compareVersions } from "../../../src/runtime/spec-version.ts";

const bridge = { type: "bridge", bridge: "cni0" };

function parse(list: unknown) {
  return parseNetworkList(new TextEncoder().encode(JSON.stringify(list)));
}

describe("parseNetworkList", () => {
  it("keeps name, plugins and the bytes", () => {
    const bytes = new TextEncoder().encode(`{"name": "demo",\n "cniVersion": "1.0.0", "plugins": [{"type": "bridge"}]}`);
    const list = parseNetworkList(bytes);
    expect(list).toMatchObject({ name: "demo", cniVersion: "1.0.0", disableCheck: false, disableGC: false });
    expect(list.plugins).toEqual([{ type: "bridge", json: { type: "bridge" } }]);
    expect(list.bytes).toEqual(bytes);
  });

  it.each([
    [undefined, undefined, "0.1.0"],
    ["", undefined, "0.1.0"],
    ["0.4.0", undefined, "0.4.0"],
    ["9.9.9", undefined, "9.9.9"],
    ["0.4.0", ["1.0.0", "1.1.0", "2.0.0"], "1.1.0"],
    ["1.1.0", ["0.4.0", "1.0.0"], "1.1.0"],
    [undefined, ["0.3.1", "1.0.0", "0.4.0"], "1.0.0"],
    ["1.0.0", ["2.0.0"], "1.0.0"],
    ["2.0.0", ["3.0.0", "0.4.0"], "0.4.0"],
    ["0.4.0", [], "0.4.0"],
  ])("cniVersion %j and cniVersions %j make %s", (cniVersion, cniVersions, expected) => {
    expect(parse({ name: "demo", cniVersion, cniVersions, plugins: [bridge] }).cniVersion).toBe(expected);
  });

  it.each([
    [true, true],
    [false, false],
    ["true", true],
    ["TRUE", true],
    ["False", false],
    ["", false],
  ])("takes %j for a switch", (value, expected) => {
    const list = parse({ name: "demo", disableCheck: value, disableGC: value, loadOnlyInlinedPlugins: value, plugins: [bridge] });
    expect([list.disableCheck, list.disableGC, list.loadOnlyInlinedPlugins]).toEqual([expected, expected, expected]);
  });

  it.each([
    [[], "expected an object"],
    [{}, 'missing "name"'],
    [{ name: 7 }, '"name" must be a text that is not empty, not 7'],
    [{ name: "" }, '"name" must be a text that is not empty, not ""'],
    [{ name: "../x", plugins: [bridge] }, 'invalid characters in "name": "../x"'],
    [{ name: "x", cniVersion: 1, plugins: [bridge] }, '"cniVersion" must be a text, not 1'],
    [{ name: "x", cniVersion: "one", plugins: [bridge] }, '"one" is not a version'],
    [{ name: "x", cniVersions: "1.0.0", plugins: [bridge] }, '"cniVersions" must be a list'],
    [{ name: "x", cniVersions: [1], plugins: [bridge] }, '"cniVersions" must hold texts, not 1'],
    [{ name: "x", cniVersions: ["1.x"], plugins: [bridge] }, '"1.x" is not a version'],
    [{ name: "x", disableGC: "maybe", plugins: [bridge] }, '"disableGC" must be true or false, not "maybe"'],
    [{ name: "x", disableCheck: 1, plugins: [bridge] }, '"disableCheck" must be true or false, not 1'],
    [{ name: "x", plugins: {} }, '"plugins" must be a list'],
    [{ name: "x", plugins: [] }, '"plugins" is empty'],
    [{ name: "x", plugins: ["bridge"] }, '"plugins" must hold objects, not "bridge"'],
    [{ name: "x", plugins: [{}] }, 'missing "type"'],
    [{ name: "x", loadOnlyInlinedPlugins: true }, '"loadOnlyInlinedPlugins" is true and there is no "plugins"'],
  ])("refuses %j", (list, message) => {
    expect(() => parse(list)).toThrow(message);
  });
});

describe("listOfSinglePlugin", () => {
  it("makes a list with one plugin, which can be read back", () => {
    const raw = { cniVersion: "0.3.1", name: "old", type: "bridge", capabilities: { mac: true } };
    const list = listOfSinglePlugin(new TextEncoder().encode(JSON.stringify(raw)));
    expect(list).toMatchObject({ name: "old", cniVersion: "0.3.1", plugins: [{ type: "bridge", json: raw }] });
    expect(parseNetworkList(list.bytes)).toEqual(list);
  });

  it("refuses a file without a type", () => {
    expect(() => listOfSinglePlugin(new TextEncoder().encode('{"name":"old"}'))).toThrow('missing "type"');
  });
});

describe("compareVersions", () => {
  const version = fc.tuple(fc.nat(50), fc.nat(50), fc.nat(50));

  it("orders by number, part by part", () => {
    fc.assert(
      fc.property(version, version, (a, b) => {
        const weight = ([major, minor, patch]: [number, number, number]) => (major * 100 + minor) * 100 + patch;
        expect(Math.sign(compareVersions(a.join("."), b.join(".")))).toBe(Math.sign(weight(a) - weight(b)));
      }),
    );
  });
});
