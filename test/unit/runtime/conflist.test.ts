import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { CniError } from "../../../src/cni/error.ts";
import { loadNetwork, loadNetworks } from "../../../src/runtime/conflist.ts";
import { parseNetworkList } from "../../../src/runtime/network-list.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

function directoryWith(files: Readonly<Record<string, unknown>>): string {
  const directory = temporaryDirectory();
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(directory, name, ".."), { recursive: true });
    writeFileSync(join(directory, name), typeof content === "string" ? content : JSON.stringify(content));
  }
  return directory;
}

function list(name: string, ...types: string[]) {
  return { cniVersion: "1.1.0", name, plugins: types.map((type) => ({ type })) };
}

function load(directory: string, name: string) {
  const skipped: string[] = [];
  const { list: network, file } = loadNetwork(directory, { name, skip: (path, why) => skipped.push(`${path}: ${why}`) });
  return { types: network.plugins.map(({ type }) => type), file: file.slice(directory.length + 1), list: network, skipped };
}

describe("loadNetwork", () => {
  it("takes the first list of that name, lists before single plugins", () => {
    const directory = directoryWith({
      "00-first.conf": { name: "demo", type: "single" },
      "20-later.conflist": list("demo", "later"),
      "10-first.conflist": list("demo", "first"),
      "05-other.conflist": list("other", "other"),
    });
    expect(load(directory, "demo")).toMatchObject({ types: ["first"], file: "10-first.conflist" });
  });

  it.each(["old.conf", "old.json"])("makes a list of %s", (file) => {
    const directory = directoryWith({ [file]: { cniVersion: "0.4.0", name: "demo", type: "ptp" } });
    expect(load(directory, "demo")).toMatchObject({ types: ["ptp"], file, list: { cniVersion: "0.4.0" } });
  });

  it("adds plugin files of the network's directory behind the inlined ones, sorted", () => {
    const directory = directoryWith({
      "demo.conflist": list("demo", "bridge"),
      "demo/20-b.conf": { type: "second" },
      "demo/10-a.conf": { type: "first" },
      "demo/ignored.conflist": { type: "not this" },
    });
    const { types, list: network } = load(directory, "demo");
    expect(types).toEqual(["bridge", "first", "second"]);
    expect(parseNetworkList(network.bytes).plugins.map(({ type }) => type)).toEqual(types);
  });

  it("lets plugins come from files alone", () => {
    const directory = directoryWith({ "demo.conflist": { name: "demo", cniVersion: "1.0.0" }, "demo/a.conf": { type: "only" } });
    expect(load(directory, "demo").types).toEqual(["only"]);
  });

  it("leaves plugin files alone with loadOnlyInlinedPlugins", () => {
    const directory = directoryWith({
      "demo.conflist": { ...list("demo", "bridge"), loadOnlyInlinedPlugins: "true" },
      "demo/a.conf": { type: "ignored" },
    });
    expect(load(directory, "demo").types).toEqual(["bridge"]);
  });

  it("skips broken files with file and reason", () => {
    const directory = directoryWith({
      "01-garbage.conflist": "{garbage",
      "02-empty.conflist": { name: "empty" },
      "03-plugin.conflist": list("broken", "bridge"),
      "broken/a.conf": { type: "" },
      "10-demo.conflist": list("demo", "bridge"),
    });
    const { types, skipped } = load(directory, "demo");
    expect(types).toEqual(["bridge"]);
    expect(skipped).toHaveLength(3);
    expect(skipped[0]).toMatch(/01-garbage\.conflist: Cannot parse network configuration: .*line 1, column 2/);
    expect(skipped[1]).toMatch(/02-empty\.conflist: no "plugins", and no \*\.conf in ".*\/empty"/);
    expect(skipped[2]).toMatch(/03-plugin\.conflist: plugin file ".*\/broken\/a\.conf": missing "type"/);
  });

  it("says which networks there are, and why a file was of no use", () => {
    const directory = directoryWith({
      "a.conflist": list("one", "bridge"),
      "b.conflist": list("two", "bridge"),
      "c.conflist": "[]",
    });
    let thrown: unknown;
    try {
      load(directory, "three");
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(CniError);
    expect(thrown).toMatchObject({
      code: 7,
      message: `Cannot find network "three" in "${directory}": it has "one", "two"`,
      details: expect.stringContaining(`"${join(directory, "c.conflist")}" cannot be used: `),
    });
  });

  it("names a directory that is not there", () => {
    const directory = join(temporaryDirectory(), "gone");
    expect(() => load(directory, "demo")).toThrow(`Cannot read the configuration directory "${directory}": ENOENT`);
  });
});

describe("loadNetworks", () => {
  it("answers all, in libcni's order", () => {
    const directory = directoryWith({
      "b.conflist": list("b", "x"),
      "a.json": { name: "a", type: "x" },
      "c.conflist": list("c", "x"),
    });
    expect(loadNetworks(directory, () => {}).map((one) => one.list.name)).toEqual(["b", "c", "a"]);
  });
});
