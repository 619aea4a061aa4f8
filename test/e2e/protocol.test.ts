import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { plugins } from "../../src/plugins/index.ts";
import { expectError, type Json } from "../support/call-plugin.ts";
import { bin, requireBuilt, run } from "../support/executable.ts";
import { freshNode, hideMachineState, nodeSnapshot, Sandbox } from "../support/node.ts";

// What goes wrong before any work, as a runtime sees it: one JSON error on stdout, exit code 1, and the node as it was.

let sandbox: Sandbox;
let before: unknown;
beforeAll(() => {
  requireBuilt();
  hideMachineState();
  freshNode();
  sandbox = new Sandbox();
  before = [nodeSnapshot(), sandbox.snapshot()];
});

const types = Object.keys(plugins);
const valid = (type: string): Json => ({
  cniVersion: "1.1.0",
  name: "net1",
  type,
  ipam: { type: "host-local", subnet: "10.91.0.0/24" },
});
const variables = () => ({
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "cid-1",
  CNI_NETNS: sandbox.path,
  CNI_IFNAME: "eth0",
  CNI_PATH: bin,
});

function refuse(type: string, call: { env?: Record<string, string | undefined>; input?: string | Uint8Array }) {
  const env = Object.fromEntries(
    Object.entries({ ...variables(), ...call.env }).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  );
  const { status, stdout, stderr } = run(type, [], { env, input: call.input ?? JSON.stringify(valid(type)) });
  const error = expectError({ exitCode: status ?? -1, stdout, stderr });
  expect(stdout.length).toBeLessThan(20_000);
  expect(stderr.split("\n").length).toBeLessThan(5);
  expect([nodeSnapshot(), sandbox.snapshot()]).toEqual(before);
  return error;
}

describe.each(types)("%s", (type) => {
  it.each([
    [4, "CNI_CONTAINERID", undefined],
    [4, "CNI_NETNS", undefined],
    [4, "CNI_IFNAME", ""],
    [4, "CNI_COMMAND", "add"],
    [4, "CNI_CONTAINERID", "a/b"],
    [4, "CNI_IFNAME", "two words"],
    [4, "CNI_ARGS", "nonsense"],
    [8, "CNI_NETNS", "/proc/self/ns/net"],
  ])("refuses with code %i: %s is %s", (code, name, value) => {
    expect(refuse(type, { env: { [name]: value } }).code).toBe(code);
  });

  it("names all variables that are missing", () => {
    const env = { CNI_CONTAINERID: undefined, CNI_NETNS: undefined, CNI_IFNAME: undefined };
    expect(refuse(type, { env }).msg).toBe("required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME] missing");
  });

  it.each<[code: number, title: string, input: (config: Json) => string | Uint8Array]>([
    [6, "nothing", () => ""],
    [6, "half a configuration", (config) => JSON.stringify(config).slice(0, 40)],
    [6, "a megabyte of letters", () => "x".repeat(2 ** 20)],
    [6, "a megabyte of brackets", () => "[".repeat(2 ** 20)],
    [6, "a megabyte of nested objects", () => '{"a":'.repeat(2 ** 18)],
    [6, "a megabyte of bytes", () => Uint8Array.from({ length: 2 ** 20 }, (_, index) => (index * 7919) % 256)],
    [6, "null", () => "null"],
    [6, "a list", (config) => JSON.stringify([config])],
    [7, "no name", (config) => JSON.stringify({ ...config, name: undefined })],
    [7, "a name of a megabyte with a slash in it", (config) => JSON.stringify({ ...config, name: `a/${"b".repeat(2 ** 20)}` })],
    [1, "a version of a megabyte", (config) => JSON.stringify({ ...config, cniVersion: "1".repeat(2 ** 20) })],
    [7, "a number for the name", (config) => JSON.stringify({ ...config, name: 5 })],
    [7, "a list for ipam", (config) => JSON.stringify({ ...config, ipam: [] })],
    [1, "an unknown version", (config) => JSON.stringify({ ...config, cniVersion: "9.9.9" })],
    [1, "a version in other words", (config) => JSON.stringify({ ...config, cniVersion: "1.1" })],
  ])("refuses with code %i: %s on stdin", (code, _title, input) => {
    expect(refuse(type, { input: input(valid(type)) }).code).toBe(code);
  });

  it("refuses CHECK, GC and STATUS in versions that do not have them", () => {
    const input = JSON.stringify({ ...valid(type), cniVersion: "0.3.1" });
    for (const CNI_COMMAND of ["CHECK", "GC", "STATUS"]) expect(refuse(type, { env: { CNI_COMMAND }, input }).code).toBe(1);
  });
});

describe("the executable under other names", () => {
  it("as none of the types says, called by a runtime, which there are", () => {
    const { status, stdout, stderr } = spawnSync(join(bin, "podlink"), [], {
      argv0: "nosuchtype",
      env: variables(),
      input: JSON.stringify(valid("nosuchtype")),
      encoding: "utf8",
    });
    const error = expectError({ exitCode: status ?? -1, stdout, stderr });
    expect(error).toMatchObject({ code: 7, details: expect.stringContaining("bridge") });
  });

  it("is the tool for people as podlink, unless a runtime calls it", () => {
    const { status, stdout } = spawnSync(join(bin, "podlink"), ["version"], { env: {}, encoding: "utf8" });
    expect({ status, isTool: stdout.startsWith("podlink ") }).toEqual({ status: 0, isTool: true });
  });
});
