import { lstatSync, mkdirSync, readdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "../../scripts/lib/paths.ts";
import { commands } from "../../src/cni/invocation.ts";
import { plugins } from "../../src/plugins/index.ts";
import type { Json } from "../support/call-plugin.ts";
import { FuzzedType } from "../support/fuzz/fuzzed-type.ts";
import { hostileText } from "../support/fuzz/hostile.ts";
import { protectMachine } from "../support/fuzz/machine.ts";
import { Tried, tryAll, watchForHangs } from "../support/fuzz/runs.ts";
import { WatchedHost } from "../support/fuzz/watched-host.ts";
import { output } from "../support/node.ts";

// What a runtime may hand in beside the configuration, when it means no good: names and ids that would lead elsewhere, arguments, paths
// of things that are no namespaces. Whatever is said, nothing is written outside podlink's own directories.

let host: WatchedHost;
beforeAll(() => {
  protectMachine();
  host = new WatchedHost("/tmp/bin");
  makeOddFiles();
});
watchForHangs();
const tried = new Tried("environments and CNI_ARGS");

/** Files that block, or never end, when they are opened as something else. */
function makeOddFiles(): void {
  mkdirSync("/tmp/odd");
  output("mkfifo", "/tmp/odd/pipe");
  output("sh", "-c", "ln -s loop /tmp/odd/loop; : > /tmp/odd/plain; ln -s /proc/self/ns/net /tmp/odd/own");
  const server = createServer().listen("/tmp/odd/socket").unref();
  afterAll(() => void server.close());
}

const paths = [
  "/tmp/odd/pipe",
  "/tmp/odd/loop",
  "/tmp/odd/plain",
  "/tmp/odd/own",
  "/tmp/odd/socket",
  "/tmp",
  "/dev/null",
  "/dev/zero",
  "/dev/full",
  "/dev/ptmx",
  "/proc/self/ns/mnt",
  "/proc/self/ns/net",
  "/proc/thread-self/ns/net",
  "/proc/self/mem",
  "/proc/self/fd/0",
  "/proc/kmsg",
];

/** Names as they may stand in a path, in an environment of the kernel's or in one that this process makes up. */
const name = fc.oneof(
  { weight: 3, arbitrary: hostileText },
  { weight: 1, arbitrary: fc.constantFrom("cid-1", "a", "A.b_c-9", "a..b", "x".repeat(255), "x".repeat(256), "x".repeat(4096)) },
  { weight: 1, arbitrary: fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,40}$/) },
);
const word = fc.oneof(
  fc.constantFrom("IP", "MAC", "GATEWAY", "IgnoreUnknown", "K8S_POD_NAME", "K8S_POD_NAMESPACE", "K8S_POD_UID"),
  hostileText,
);
const value = fc.oneof(fc.constantFrom("1", "true", "10.90.9.7", "10.90.9.7/24,fd00:99::7/64", "c2:11:22:33:44:55"), hostileText);
const args = fc.oneof(
  fc.array(fc.tuple(word, value), { maxLength: 4 }).map((pairs) => pairs.map((pair) => pair.join("=")).join(";")),
  hostileText,
);
const netns = fc.oneof(fc.constantFrom(...paths), hostileText);

/** A change of one to three of the variables; what is not here stays as it must be. */
const environment = fc
  .record(
    {
      CNI_COMMAND: fc.oneof(fc.constantFrom("", "add", "ADD\n", "ADD DEL"), hostileText),
      CNI_CONTAINERID: name,
      CNI_IFNAME: name,
      CNI_NETNS: netns,
      CNI_ARGS: args,
      CNI_PATH: fc.oneof(fc.constantFrom(":::", "/tmp/odd", "/tmp/odd/pipe", "/proc", "/dev", ".", "relative"), hostileText),
      CNI_NETNS_OVERRIDE: fc.oneof(fc.constantFrom("0", "false", "yes"), hostileText),
      K8S_POD_NAME: hostileText,
    },
    { requiredKeys: [] },
  )
  .map((variables) => Object.fromEntries(Object.entries(variables).slice(0, 3)))
  // "1" means that the node itself is the container
  .filter(({ CNI_NETNS_OVERRIDE = "" }) => !["1", "true"].includes(CNI_NETNS_OVERRIDE.toLowerCase()));

/** Where podlink may write, unless a configuration says otherwise; and what the tests themselves make. */
const own = /^\/(var\/lib\/cni|run\/cni|var\/log\/podlink)(\/|$)|^\/run\/(netns|podlink-test)/;

/** Everything there is in directories in which something could be written, but for podlink's own. */
function elsewhere(): string[] {
  const tops = ["/var/lib", "/var/log", "/run", "/tmp"].flatMap((top) => readdirSync(top).map((name) => join(top, name)));
  const found = tops.flatMap((top) => {
    if (root.startsWith(`${top}/`) || root === top || !lstatSync(top).isDirectory()) return [top];
    return [top, ...readdirSync(top, { recursive: true, encoding: "utf8" }).map((path) => join(top, path))];
  });
  return found.filter((path) => !own.test(path)).sort();
}

describe.each(Object.keys(plugins))("%s", (type) => {
  let fuzzed: FuzzedType;
  let others: string[];
  let sinceLook = 0;

  beforeAll(() => {
    fuzzed = new FuzzedType(type, host);
    fuzzed.setUp();
    others = elsewhere();
  });
  afterAll(() => fuzzed.dispose());

  it("answers whatever stands in the environment, and writes nowhere but in its own directories", () => {
    const input = fc.record({
      command: fc.constantFrom("ADD", "ADD", ...commands),
      variables: environment,
      network: fc.option(name, { freq: 6 }),
    });
    tryAll(input, {
      holds({ command, variables, network }) {
        const base: Json = { ...fuzzed.config("1.1.0"), "cni.dev/valid-attachments": [{ containerID: "cid-1", ifname: "eth0" }] };
        const config = fuzzed.inOneNetwork(network === null ? base : { ...base, name: network }) as Json;
        const stdin = Buffer.from(JSON.stringify(config));
        const { exitCode, stdout, stderr, report } = fuzzed.call(command, stdin, variables);
        tried.count(exitCode === 0 ? "accepted" : "refused");
        for (const text of [stdout, stderr]) expect(text).not.toContain("EROFS"); // it would have written where nobody may
        if (exitCode === 0 && (variables.CNI_COMMAND ?? command) === "ADD") {
          const result: Json = JSON.parse(stdout);
          expect(fuzzed.call("DEL", Buffer.from(JSON.stringify({ ...config, prevResult: result })), variables)).toMatchObject({
            exitCode: 0,
          });
        }
        expect(elsewhere()).toEqual(others);
        // now and then where no change is said to have been made, too
        if (report.steps.length === 0 && ++sinceLook % 10 !== 0) return;
        if (fuzzed.expectClean()) fuzzed.setUp();
      },
    });
  });

  it("leaves the node as it was, and has no file by a name that was refused", () => {
    fuzzed.expectClean();
    const bad = ["../x", "..", "/x", "a/b", "a\0b", "a\nb", "ü", "", " "];
    for (const id of bad) {
      const stdin = Buffer.from(JSON.stringify({ ...fuzzed.config("1.1.0"), name: id }));
      expect(fuzzed.call("ADD", stdin).exitCode).toBe(1);
      expect(fuzzed.call("ADD", Buffer.from(JSON.stringify(fuzzed.config("1.1.0"))), { CNI_CONTAINERID: id }).exitCode).toBe(1);
    }
    fuzzed.expectClean();
    expect(elsewhere()).toEqual(others);
  });
});
