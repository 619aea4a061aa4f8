import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { conflists, readConflist } from "../support/examples.ts";
import { fakeShell } from "../support/fake-shell.ts";
import { contents, damaged, expectHarmless } from "../support/fuzz/damaged.ts";
import { hostileText } from "../support/fuzz/hostile.ts";
import { protectMachine } from "../support/fuzz/machine.ts";
import { notForEver, Tried, tryAll, watchForHangs } from "../support/fuzz/runs.ts";
import { keysOf, readSchema } from "../support/fuzz/schema-values.ts";
import { WatchedHost } from "../support/fuzz/watched-host.ts";
import { freshNode, makeSandbox } from "../support/node.ts";

// Conflists and remembered results that somebody damaged, or wrote to do harm, and the tool for people: no crash, no hang, nothing written
// or removed elsewhere, and no terminal's cursor moved.

let host: WatchedHost;
beforeAll(() => {
  protectMachine();
  host = new WatchedHost("/tmp/bin");
});
beforeEach(freshNode);
watchForHangs();

const listKeys = [
  ...keysOf(readSchema("conflist")),
  "plugins",
  "type",
  "cniVersions",
  "disableGC",
  "disableCheck",
  "loadOnlyInlinedPlugins",
];

describe("conflists", () => {
  const tried = new Tried("conflists");

  it("that mean no good are refused, or used, and lead nowhere", () => {
    const sandbox = makeSandbox();
    let answer: { exitCode: number; stdout: string; stderr: string } = { exitCode: 0, stdout: "{}", stderr: "" };
    const { directory, type } = fakeShell({ invoke: () => answer, env: { CNI_PATH: host.path } });
    mkdirSync(join(directory, "conf"));
    writeFileSync(join(directory, "bystander"), "untouched");
    const result = {
      cniVersion: "1.1.0",
      interfaces: [{ name: "eth0", sandbox: "x" }],
      ips: [{ address: "10.1.2.3/24", interface: 0 }],
    };
    const lists = fc.constantFrom(...conflists()).chain((file) => damaged(readConflist(file), listKeys));
    const answers = fc.record({
      exitCode: fc.constantFrom(0, 0, 1),
      stdout: fc
        .oneof(damaged(result, ["ips", "interfaces", "dns"]), fc.constant(JSON.stringify(result)))
        .map((bytes) => Buffer.from(bytes).toString()),
      stderr: fc.oneof(fc.constant(""), hostileText),
    });
    const word = hostileText.map((text) => text.replaceAll("\0", "")); // no command line can hold those
    const words: fc.Arbitrary<readonly string[]> = fc.oneof<fc.Arbitrary<readonly string[]>[]>(
      fc.constantFrom(["list"], ["list", "--json"], ["status"], ["status", "NAME"], ["gc", "NAME"], ["gc", "NAME", "--all"]),
      fc.constantFrom(["add", "NAME", sandbox.path], ["check", "NAME", sandbox.path], ["del", "NAME", sandbox.path]),
      fc
        .tuple(fc.constantFrom("add", "check", "del"), word, word)
        .map(([verb, ifname, netns]) => [verb, "NAME", netns, "-i", ifname]),
    );
    const input = fc.record({ bytes: lists, given: answers, words, ending: fc.constantFrom("conflist", "conf", "json") });
    tryAll(input, {
      weight: 15,
      holds({ bytes, given, words: typed, ending }) {
        answer = given;
        const file = join(directory, "conf", `10-x.${ending}`);
        writeFileSync(file, bytes);
        notForEver(`${typed.join(" ")}\n${Buffer.from(bytes)}`);
        const typedOut = type(...typed.map((word) => (word === "NAME" ? nameIn(bytes) : word)));
        tried.count(typedOut.exitCode === 0 ? "accepted" : "refused");
        expectHarmless({ ...typedOut, stdout: typed.includes("--json") || typed[0] === "add" ? "" : typedOut.stdout });
        rmSync(file);
        const elsewhere = contents(directory).filter(([path]) => dirname(path) !== join(directory, "cache/results"));
        expect(elsewhere).toEqual([[join(directory, "bystander"), "untouched"]]);
      },
    });
    expect(tried.of("accepted")).toBeGreaterThan(0);
  });
});

/** The network's name, where there is one still. */
function nameIn(bytes: Uint8Array): string {
  try {
    const { name } = JSON.parse(Buffer.from(bytes).toString());
    return typeof name === "string" && name !== "" ? name : "net1";
  } catch {
    return "net1";
  }
}

describe("remembered results", () => {
  const tried = new Tried("remembered results");

  it("that mean no good are left out, and nothing but themselves is removed", () => {
    const { directory, type } = fakeShell();
    const results = join(directory, "cache/results");
    mkdirSync(results, { recursive: true });
    mkdirSync(join(directory, "conf"));
    writeFileSync(join(directory, "bystander"), "untouched");
    writeFileSync(
      join(directory, "conf/10.conflist"),
      JSON.stringify({ cniVersion: "1.1.0", name: "net1", plugins: [{ type: "bridge" }] }),
    );
    const before = contents(directory);
    const sample = {
      kind: "cniCacheV1",
      containerId: "cid-1",
      config: Buffer.from('{"cniVersion":"1.1.0","name":"net1","plugins":[{"type":"bridge"}]}').toString("base64"),
      ifName: "eth0",
      networkName: "net1",
      netns: "/run/netns/gone",
      cniArgs: [["IgnoreUnknown", "1"]],
      capabilityArgs: { portMappings: [] },
      result: { cniVersion: "1.1.0", ips: [{ address: "10.1.2.3/24" }] },
    };
    const leading = fc.tuple(
      fc.constantFrom("containerId", "ifName", "networkName"),
      fc.constantFrom("../../../bystander", "x/../../../bystander"),
    );
    const file = fc.oneof(
      damaged(sample, Object.keys(sample)),
      leading.map(([key, path]) => Buffer.from(JSON.stringify({ ...sample, ifName: "", [key]: path }))),
    );
    const commands: fc.Arbitrary<readonly string[]> = fc.constantFrom<readonly string[]>(
      ["list"],
      ["list", "--json"],
      ["gc", "net1"],
      ["gc", "net1", "--all"],
      ["del", "net1", "/run/netns/gone"],
    );
    tryAll(fc.record({ bytes: file, name: fc.constantFrom("net1-cid-1-eth0", "net1-..-eth0", "x", "net1-"), words: commands }), {
      weight: 15,
      holds({ bytes, name, words }) {
        writeFileSync(join(results, name), bytes);
        notForEver(`${words.join(" ")}\n${Buffer.from(bytes)}`);
        const typed = type(...words);
        tried.count(typed.exitCode === 0 ? "accepted" : "refused");
        expectHarmless(words.includes("--json") ? { ...typed, stdout: "" } : typed);
        rmSync(join(results, name), { force: true });
        expect(contents(directory)).toEqual(before);
      },
    });
  });
});
