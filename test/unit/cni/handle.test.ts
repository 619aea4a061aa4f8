import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CniError, unsupported } from "../../../src/cni/error.ts";
import { handle } from "../../../src/cni/handle.ts";
import { commands } from "../../../src/cni/invocation.ts";
import type { DelCall } from "../../../src/cni/plugin.ts";
import { versions } from "../../../src/cni/version.ts";
import { Steps } from "../../../src/support/steps.ts";
import { callFake, fakeHost, fakePlugin, fullEnv, type Seen, sampleResult } from "../../support/fake-plugin.ts";

const verbs = commands.filter((command) => command !== "VERSION");
const prevResult = { cniVersion: "1.1.0", ips: [{ address: "10.1.2.3/24" }] };
/** What each verb needs beside name and version. */
const needed: Record<string, object> = { CHECK: { prevResult }, GC: { "cni.dev/valid-attachments": [] } };

describe("without a command", () => {
  it.each([undefined, ""])("CNI_COMMAND %j prints the usage on stderr", (command) => {
    const answer = callFake("ADD", { env: { CNI_COMMAND: command } });
    expect(answer).toMatchObject({ exitCode: 0, stdout: "", seen: [] });
    expect(answer.stderr).toBe(
      "CNI fake plugin v1.9.1+podlink.0.1.0\nCNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n",
    );
  });

  it("an unknown one is refused before stdin is read", () => {
    const stdin = () => expect.unreachable();
    expect(callFake("UPDATE", { stdin }).json()).toMatchObject({ code: 4, msg: "unknown CNI_COMMAND: UPDATE" });
  });
});

describe("an unknown type", () => {
  it.each(["ADD", "VERSION", ""])("is named with those there are (%j)", (command) => {
    for (const type of ["bond", "constructor"]) {
      const host = fakeHost({ fake: fakePlugin([]), other: fakePlugin([]) });
      const answer = handle({ type, env: fullEnv(command), stdin: () => Buffer.from("{}") }, host);
      expect(answer.exitCode).toBe(1);
      expect(JSON.parse(answer.stdout)).toEqual({
        cniVersion: "1.1.0",
        code: 7,
        msg: `Cannot run plugin type "${type}": there is no such type`,
        details: "there are fake, other",
      });
    }
  });
});

describe("VERSION", () => {
  it.each([
    ...versions.map((version) => [JSON.stringify({ cniVersion: version }), version]),
    ['{"cniVersion": "9.9.9"}', "1.1.0"],
    ['{"cniVersion": 5}', "1.1.0"],
    ["{}", "1.1.0"],
    ["", "1.1.0"],
    ["garbage", "1.1.0"],
  ])("asked with %s", (stdin, cniVersion) => {
    const env = { CNI_COMMAND: "VERSION", CNI_NETNS: "dummy", CNI_IFNAME: "dummy", CNI_PATH: "dummy", CNI_CONTAINERID: "" };
    const answer = callFake("VERSION", { env, stdin: () => Buffer.from(stdin) });
    expect(answer).toMatchObject({ exitCode: 0, stderr: "", seen: [] });
    expect(answer.json()).toEqual({ cniVersion, supportedVersions: versions });
  });

  it("works when stdin cannot be read", () => {
    const stdin = () => {
      throw new Error("EAGAIN");
    };
    expect(callFake("VERSION", { stdin }).json()).toMatchObject({ cniVersion: "1.1.0" });
  });
});

describe("the order of checks", () => {
  const taken = { isOwnNetns: (): boolean => true };

  it.each([
    ["environment before stdin", { env: { CNI_IFNAME: "" }, stdin: () => Buffer.from("x") }, 4],
    ["JSON before the name", { stdin: () => Buffer.from('{"name": ') }, 6],
    ["the name before the version", { config: { name: "", cniVersion: "9.9.9" } }, 7],
    ["the version before the namespace", { config: { cniVersion: "9.9.9" }, host: taken }, 1],
    ["the namespace before the plugin's keys", { config: { mtu: "x" }, host: taken }, 8],
    ["the plugin's keys before the verb", { config: { mtu: "x" } }, 7],
  ])("%s", (_name, options, code) => {
    const answer = callFake("ADD", options);
    expect(answer.json()).toMatchObject({ code });
    expect(answer).toMatchObject({ exitCode: 1, seen: [] });
  });

  it("a stdin that cannot be read is code 5", () => {
    const stdin = () => {
      throw new Error("EIO: i/o error, read");
    };
    expect(callFake("ADD", { stdin }).json()).toEqual({
      cniVersion: "1.1.0",
      code: 5,
      msg: "Cannot read network configuration from stdin: EIO: i/o error, read",
    });
  });
});

describe("the host's own namespace", () => {
  const own = { isOwnNetns: (path: string) => path === "/run/netns/blue" };
  const unasked = (): boolean => {
    throw new Error("nobody should ask");
  };

  it.each(["ADD", "DEL"])("is refused by %s before any work", (command) => {
    const answer = callFake(command, { host: own });
    expect(answer.json()).toMatchObject({ code: 8, msg: "plugin's netns and netns from CNI_NETNS should not be the same" });
    expect(answer.seen).toEqual([]);
  });

  it.each(["ADD", "DEL"])("is allowed to %s by CNI_NETNS_OVERRIDE", (command) => {
    const answer = callFake(command, { host: own, env: { CNI_NETNS_OVERRIDE: "True" } });
    expect(answer.seen.map(({ verb }) => verb)).toEqual(["resolve", command.toLowerCase()]);
  });

  it.each(["CHECK", "GC", "STATUS"])("does not matter to %s", (command) => {
    const answer = callFake(command, { host: { isOwnNetns: unasked }, config: needed[command] });
    expect(answer.exitCode).toBe(0);
  });

  it("is not asked for without CNI_NETNS", () => {
    const answer = callFake("DEL", { host: { isOwnNetns: unasked }, env: { CNI_NETNS: "" } });
    expect(answer.exitCode).toBe(0);
  });
});

describe("what a verb is given", () => {
  const attachment = { network: "net1", containerId: "cid-1", ifname: "eth0" };
  const common = { network: "net1", cniVersion: "1.1.0", config: { mtu: 1400 } };
  const previous = { ips: [{ address: "10.1.2.3/24" }] };
  const netns = "/run/netns/blue";

  it.each([
    ["ADD", {}, { ...common, attachment, netns, prevResult: undefined }],
    ["ADD", { prevResult }, { ...common, attachment, netns, prevResult: previous }],
    ["CHECK", { prevResult }, { ...common, attachment, netns, prevResult: previous }],
    ["DEL", { prevResult }, { ...common, attachment, netns, prevResult: previous }],
    ["DEL", { prevResult: null }, { ...common, attachment, netns, prevResult: undefined }],
    [
      "GC",
      { "cni.dev/valid-attachments": [{ containerID: "a", ifname: "b" }] },
      { ...common, valid: [{ containerId: "a", ifname: "b" }] },
    ],
    ["STATUS", {}, common],
  ])("%s with %j", (command, config, expected) => {
    const { seen } = callFake(command, { config: { ...config, mtu: 1400 } });
    expect(seen.map(({ verb }) => verb)).toEqual(["resolve", command.toLowerCase()]);
    expect(seen.at(-1)?.call).toMatchObject(expected);
  });

  it("resolve is given the arguments", () => {
    const { seen } = callFake("ADD", { env: { CNI_ARGS: "IP=10.1.2.3;MAC=c2:11:22:33:44:55" } });
    expect(seen[0]?.call).toMatchObject({ command: "ADD", cniVersion: "1.1.0" });
    expect(seen[0]?.call.args.get("MAC")).toBe("c2:11:22:33:44:55");
  });

  it("what resolve makes of the keys", () => {
    const { seen } = callFake("ADD", { overrides: { resolve: (keys) => ({ made: keys }) }, config: { mtu: 1 } });
    expect(seen.at(-1)?.call.config).toEqual({ made: { mtu: 1 } });
  });
});

describe("prevResult", () => {
  it("is required by CHECK", () => {
    for (const config of [{}, { prevResult: null }]) {
      expect(callFake("CHECK", { config }).json()).toMatchObject({ code: 7, msg: "Required prevResult missing" });
    }
  });

  it.each(["ADD", "CHECK"])("must be right for %s", (command) => {
    const answer = callFake(command, { config: { prevResult: { ips: [{ address: "x" }] } } });
    expect(answer.json()).toMatchObject({
      code: 7,
      msg: expect.stringMatching(/^Cannot use prevResult: .*"ips\[0\]\.address" is "x"/),
    });
    expect(answer.seen.map(({ verb }) => verb)).toEqual(["resolve"]);
  });

  it("does not stop DEL when broken", () => {
    const answer = callFake("DEL", { config: { prevResult: { cniVersion: "0.4.0" } } });
    expect(answer.exitCode).toBe(0);
    expect(answer.stderr).toMatch(/^fake: Cannot use prevResult: .*\n$/);
    expect(answer.seen.at(-1)).toMatchObject({ verb: "del", call: { prevResult: undefined } });
  });

  it.each(["GC", "STATUS"])("is not looked at by %s", (command) => {
    const config = { ...needed[command], prevResult: { cniVersion: "0.4.0" } };
    expect(callFake(command, { config })).toMatchObject({ exitCode: 0, stderr: "" });
  });
});

describe("GC", () => {
  it("does nothing when nobody says what is valid", () => {
    const answer = callFake("GC");
    expect(answer).toMatchObject({ exitCode: 0, stdout: "", seen: [] });
    expect(answer.stderr).toMatch(/^fake: GC without "cni.dev\/valid-attachments" .*: this plugin removed nothing\n$/);
  });

  it.each([[[]], [null]])("keeps nothing when %j is valid", (valid) => {
    for (const key of ["cni.dev/valid-attachments", "cni.dev/attachments"]) {
      expect(callFake("GC", { config: { [key]: valid } }).seen.at(-1)).toMatchObject({ verb: "gc", call: { valid: [] } });
    }
  });

  it("does nothing when the list is broken", () => {
    const answer = callFake("GC", { config: { "cni.dev/valid-attachments": [{ containerID: "a" }] } });
    expect(answer).toMatchObject({ exitCode: 1, seen: [] });
    expect(answer.json()).toMatchObject({ code: 7 });
  });
});

describe("a delegate", () => {
  it("that is no IPAM plugin, itself first of all, is refused: it would be handed the same configuration and delegate again", () => {
    const invoke = () => expect.unreachable();
    const del = (call: DelCall<unknown>) => call.delegate("fake").del();
    expect(callFake("DEL", { overrides: { del }, host: { invoke } }).json()).toMatchObject({
      code: 7,
      msg: 'Cannot delegate to "fake": it is no IPAM plugin',
    });
  });
});

describe("what is printed", () => {
  it.each(versions)("the result of ADD at %s", (cniVersion) => {
    const answer = callFake("ADD", { config: { cniVersion } });
    expect(answer).toMatchObject({ exitCode: 0, stderr: "" });
    expect(answer.json()).toMatchObject({ cniVersion });
    expect(answer.stdout).toMatch(/^\{\n {4}"cniVersion"[\s\S]*\}\n$/);
  });

  it.each(verbs.filter((verb) => verb !== "ADD"))("nothing for %s", (command) => {
    expect(callFake(command, { config: needed[command] })).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
  });

  it("a note for each unknown key, on stderr", () => {
    const answer = callFake("ADD", { config: { foo: 1, "b\nar": { baz: 2 } } });
    expect(answer.exitCode).toBe(0);
    expect(answer.stderr).toBe('fake: ignoring unknown key "foo"\nfake: ignoring unknown key "b\\nar"\n');
  });

  it("only the first of very many unknown keys, and no key in full that is very long", () => {
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`k${i}${"x".repeat(1000)}`, i]));
    const lines = callFake("ADD", { config: many }).stderr.trimEnd().split("\n");
    expect(lines).toHaveLength(21);
    expect(lines[0]).toMatch(/^fake: ignoring unknown key "k0x{70,80}…$/);
    expect(lines[20]).toBe("fake: ignoring 980 more unknown keys");
  });

  it("each warning as one line", () => {
    const answer = callFake("STATUS", { overrides: { status: (call) => call.warn("two\n  lines") } });
    expect(answer.stderr).toBe("fake: two lines\n");
  });
});

describe("an error", () => {
  const failing = (error: unknown) => ({
    overrides: {
      add() {
        throw error;
      },
    },
  });

  it.each(verbs)("of %s is one JSON object in the configuration's version", (command) => {
    const cniVersion = command === "GC" || command === "STATUS" ? "1.1.0" : "0.4.0";
    const fail = () => {
      throw new CniError(11, "Cannot do it", { details: "later" });
    };
    const answer = callFake(command, {
      config: { cniVersion, ...needed[command], ...(command === "CHECK" ? { prevResult: {} } : {}) },
      overrides: { [command.toLowerCase()]: fail },
    });
    expect(answer.exitCode).toBe(1);
    expect(answer.json()).toEqual({ cniVersion, code: 11, msg: "Cannot do it", details: "later" });
    expect(answer.report.error).toEqual({ code: 11, msg: "Cannot do it", details: "later" });
  });

  it.each([
    [new TypeError("x is undefined"), { code: 999, msg: "x is undefined" }],
    ["thrown text", { code: 999, msg: "thrown text" }],
    [undefined, { code: 999, msg: "undefined" }],
    [new Error("Cannot a: b", { cause: new CniError(11, "b") }), { code: 11, msg: "Cannot a: b" }],
  ])("for %s has no stack", (error, expected) => {
    const answer = callFake("ADD", failing(error));
    expect(answer.json()).toEqual({ cniVersion: "1.1.0", ...expected });
    expect(answer.stdout + answer.stderr).not.toMatch(/\.ts:|\n\s+at /);
  });

  it.each([Number.POSITIVE_INFINITY, Number.NaN, 0, -1, 1.5])("with code %d, which is none, has the internal one", (code) => {
    expect(callFake("ADD", failing(new CniError(code, "another's"))).json()).toMatchObject({ code: 999, msg: "another's" });
  });

  it("in an unknown version is told in the newest", () => {
    expect(callFake("ADD", { config: { cniVersion: "9.9.9" } }).json()).toMatchObject({ cniVersion: "1.1.0", code: 1 });
  });

  it.each(["ADD", "DEL"])("of resolve stops %s", (command) => {
    const resolve = () => {
      throw unsupported("ipMasq", true, "leave it out");
    };
    const answer = callFake(command, { overrides: { resolve } });
    expect(answer.seen).toEqual([]);
    expect(answer.json()).toMatchObject({
      code: 2,
      msg: 'Cannot use network configuration: "ipMasq" is true: not supported',
      details: "leave it out",
    });
  });

  it("about 1 MB of garbage is short", () => {
    const answer = callFake("ADD", { stdin: () => Buffer.alloc(1 << 20, "garbage ") });
    expect(answer.json()).toMatchObject({ code: 6 });
    expect(answer.stdout.length).toBeLessThan(250);
  });
});

describe("rollback", () => {
  const undone: string[] = [];

  it("undoes the work of an ADD that throws, newest first, and tells the first error", () => {
    undone.length = 0;
    const answer = callFake("ADD", {
      overrides: {
        add(_call, rollback) {
          rollback.defer("undo one", () => void undone.push("one"));
          rollback.defer("undo two", () => {
            throw new Error("no way");
          });
          rollback.defer("undo three", () => void undone.push("three"));
          throw new Error("Cannot go on");
        },
      },
    });
    expect(undone).toEqual(["three", "one"]);
    expect(answer.json()).toMatchObject({ code: 999, msg: "Cannot go on" });
    expect(answer.stderr).toBe("fake: Cannot undo two while undoing: no way\n");
  });

  it("undoes the work when the result cannot be said in the version", () => {
    undone.length = 0;
    const answer = callFake("ADD", {
      config: { cniVersion: "0.2.0" },
      overrides: {
        add(_call, rollback) {
          rollback.defer("undo", () => void undone.push("all"));
          return { interfaces: [{ name: "eth0" }] };
        },
      },
    });
    expect(undone).toEqual(["all"]);
    expect(answer.json()).toMatchObject({ cniVersion: "0.2.0", code: 7, msg: "cannot convert: no valid IP addresses" });
  });

  it("does nothing after success", () => {
    undone.length = 0;
    const answer = callFake("ADD", {
      overrides: {
        add(_call, rollback) {
          rollback.defer("undo", () => void undone.push("all"));
          return sampleResult;
        },
      },
    });
    expect(answer.exitCode).toBe(0);
    expect(undone).toEqual([]);
  });
});

describe("the report", () => {
  it("has the changes of this call alone, however many were made before it", () => {
    const steps = new Steps();
    steps.run("ip link add by-another-call", () => {});
    const env = fullEnv("DEL");
    const plugin = fakePlugin([], { del: (call) => call.steps.run("ip link del its-own", () => {}) });
    const config = JSON.stringify({ cniVersion: "1.1.0", name: "net1", type: "fake" });
    const { report } = handle({ type: "fake", env, stdin: () => Buffer.from(config), steps }, fakeHost({ fake: plugin }));
    expect(report.steps.map(({ command }) => command)).toEqual(["ip link del its-own"]);
    expect(steps.list).toHaveLength(2);
  });

  it("has the warnings, those of delegates too", () => {
    const host = { invoke: () => ({ exitCode: 0, stdout: "", stderr: "host-local: beware\n" }) };
    const del = (call: DelCall<unknown>) => {
      call.warn("take\ncare");
      call.delegate("host-local").del();
    };
    const { report } = callFake("DEL", { overrides: { del }, host });
    expect(report.warnings).toEqual(["fake: take care", "host-local: beware"]);
    expect(callFake("DEL").report).not.toHaveProperty("warnings");
    expect(callFake("DEL", { env: { CNI_COMMAND: "" } }).report).not.toHaveProperty("warnings");
  });

  it("has everything the log wants", () => {
    const { report } = callFake("ADD", {
      env: { CNI_ARGS: "K8S_POD_NAME=web;K8S_POD_NAMESPACE=prod" },
      overrides: {
        add(call) {
          call.steps.run("ip link add x", () => {});
          return sampleResult;
        },
      },
    });
    expect(report).toEqual({
      type: "fake",
      command: "ADD",
      network: "net1",
      containerId: "cid-1",
      ifname: "eth0",
      netns: "/run/netns/blue",
      pod: "prod/web",
      ms: expect.any(Number),
      steps: [{ command: "ip link add x", ms: expect.any(Number) }],
    });
  });

  it("names the attachment of a call that failed early", () => {
    const { report } = callFake("DEL", { config: { name: "" }, env: { CNI_NETNS: "" } });
    expect(report).toMatchObject({ command: "DEL", containerId: "cid-1", ifname: "eth0", error: { code: 7 } });
    expect(report).not.toHaveProperty("netns");
  });

  it("goes on in the steps it is given", () => {
    const steps = new Steps();
    const seen: Seen[] = [];
    const stdin = () => Buffer.from('{"cniVersion": "1.1.0", "name": "net1"}');
    handle({ type: "fake", env: fullEnv("STATUS"), stdin, steps }, fakeHost({ fake: fakePlugin(seen) }));
    expect(seen.at(-1)?.call.steps).toBe(steps);
  });
});

describe("whatever comes", () => {
  const text = fc.oneof(fc.string(), fc.constantFrom("", "eth0", "cid", "/run/netns/x", "IP=10.1.2.3", "1"));
  const env = fc.record(
    {
      CNI_COMMAND: fc.oneof({ weight: 6, arbitrary: fc.constantFrom<string>(...commands) }, { weight: 1, arbitrary: text }),
      CNI_CONTAINERID: text,
      CNI_NETNS: text,
      CNI_IFNAME: text,
      CNI_ARGS: text,
      CNI_PATH: text,
      CNI_NETNS_OVERRIDE: text,
    },
    { requiredKeys: ["CNI_COMMAND"] },
  );
  const key = fc.constantFrom(
    "cniVersion",
    "name",
    "mtu",
    "MTU",
    "ipam",
    "dns",
    "prevResult",
    "args",
    "vlanTrunk",
    "__proto__",
    "x",
    "cni.dev/valid-attachments",
  );
  const value = fc.oneof(fc.jsonValue(), fc.constantFrom(...versions), fc.constant("net1"));
  const config = fc.array(fc.tuple(key, value)).map((entries) => {
    const members = [["cniVersion", "1.1.0"], ["name", "net1"], ...entries].map(
      ([name, item]) => `${JSON.stringify(name)}:${JSON.stringify(item)}`,
    );
    return Buffer.from(`{${members.join(",")}}`);
  });
  const stdin = fc.oneof(
    config,
    fc.uint8Array(),
    fc.json().map((json) => Buffer.from(json)),
  );
  const full = fc.constantFrom<string>(...commands).map(fullEnv);

  it("is answered by a result, nothing or one error", () => {
    const outcomes = new Set<string>();
    fc.assert(
      fc.property(fc.oneof(env, full), stdin, fc.boolean(), (variables, bytes, own) => {
        const host = fakeHost({ fake: fakePlugin([]) }, { isOwnNetns: () => own });
        const answer = handle({ type: "fake", env: variables, stdin: () => bytes }, host);
        const output = answer.stdout === "" ? undefined : JSON.parse(answer.stdout);
        outcomes.add(`${variables.CNI_COMMAND} ${answer.exitCode}`);
        if (answer.exitCode === 0) {
          const speaks = variables.CNI_COMMAND === "ADD" || variables.CNI_COMMAND === "VERSION";
          expect(output?.cniVersion).toEqual(speaks ? expect.any(String) : undefined);
          expect(answer.report.error).toBeUndefined();
        } else {
          expect(answer.exitCode).toBe(1);
          expect(output).toMatchObject({ cniVersion: expect.any(String), code: expect.any(Number), msg: expect.any(String) });
          expect([1, 4, 6, 7, 8]).toContain(output.code);
          expect(answer.stdout).not.toMatch(/\n\s+at /);
        }
      }),
      { numRuns: 3000 },
    );
    expect([...outcomes]).toEqual(
      expect.arrayContaining(["ADD 0", "ADD 1", "DEL 0", "GC 0", "STATUS 0", "STATUS 1", "VERSION 0"]),
    );
  });
});
