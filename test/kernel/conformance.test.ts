import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { atLeast, type Version, versions } from "../../src/cni/version.ts";
import { plugins } from "../../src/plugins/index.ts";
import { Caller, expectError, type Json, type PluginCall, type PluginError } from "../support/call-plugin.ts";
import { damagesOf, type Shown, vague, wrongAddresses } from "../support/damages.ts";
import { type Example, exampleOf, typesWithTraits } from "../support/examples.ts";
import { needs, supports } from "../support/kernel-features.ts";
import { freshNode, hideMachineState, makeSandbox, nodeSnapshot, Sandbox, temporaryDirectory } from "../support/node.ts";
import { expectResultShape } from "../support/result-shapes.ts";

// What every plugin type owes its callers, in every version of the protocol. No type is named here: what a type makes is read from its
// result, what its configuration looks like from conf/, and what else there is to know from test/support/examples.ts.

const directory = temporaryDirectory();
let caller: Caller;
beforeAll(() => {
  hideMachineState();
  caller = new Caller(directory);
});

const types = Object.keys(plugins);

it("has an example of every type, and of no other", () => {
  for (const type of types) expect(exampleOf(type).config).toHaveProperty("type");
  expect(types).toEqual(expect.arrayContaining(typesWithTraits));
});

for (const type of types) {
  const example = tryExample(type);
  const features = example?.site.needs ?? [];
  const lacks = !supports(...features);
  describe.skipIf(lacks)(`${type}${needs(...features)}`, () => {
    if (example === undefined) it("can be tried", () => void exampleOf(type));
    else describe.each(lacks ? versions.slice(-1) : versions)("in version %s", (version) => conforms(example, version));
    if (lacks) it.skip("in the older versions, which scripts/test-kernels tries");
  });
}

/** Its absence is for a test to tell, not for the loading of this file. */
function tryExample(type: string): Example | undefined {
  try {
    return exampleOf(type);
  } catch {
    return undefined;
  }
}

function conforms(example: Example, version: Version): void {
  const { type } = example;
  let clean: unknown;
  let dirty = true;

  function configure(more: Json = {}): Json {
    return { ...example.config, cniVersion: version, ...more, ipam: merged(example.config.ipam, more.ipam) };
  }
  const call = (command: string, more: Partial<PluginCall> = {}): PluginCall => ({ type, command, config: configure(), ...more });

  interface Who {
    readonly containerId: string;
    readonly netns: string;
    readonly name: string;
  }
  /** Attachments that plugins before this one in the chain made. */
  const prepared: Who[] = [];

  /** What the plugins before this one in the chain do. @returns their result as keys for this one's configuration */
  function prepare({ name, ...who }: Who): Json {
    if (example.before.length > 0) prepared.push({ name, ...who });
    let previous: Json = {};
    for (const { type: earlier, ...config } of example.before) {
      const request = { ...config, ...previous, type: earlier, name, cniVersion: version };
      previous = { prevResult: caller.add({ ...who, type: earlier, config: request }) };
    }
    return previous;
  }

  function clearPrepared(): void {
    for (const { name, ...who } of prepared.splice(0)) {
      for (const config of [...example.before].reverse()) {
        caller.succeed({ ...who, type: config.type, command: "DEL", config: { ...config, name, cniVersion: version } });
      }
    }
  }

  /** GC of the whole chain. */
  function collect(more: Json): void {
    caller.succeed(call("GC", { config: configure(more) }));
    const { name } = example.config;
    for (const config of example.before) {
      caller.succeed({ type: config.type, command: "GC", config: { ...config, name, cniVersion: version, ...more } });
    }
  }

  /** What an attachment has in its configuration beside the example's: what the runtime adds, and what no two can share. */
  function capabilities({ name, containerId }: Pick<Who, "name" | "containerId">): Json {
    const { own, runtimeConfig } = example;
    return {
      ...own?.(),
      ...(runtimeConfig === undefined ? {} : { runtimeConfig: runtimeConfig(`${name} ${containerId}`) }),
    };
  }

  /** A container with what the type finds there when it is asked. */
  function makeContainer(): Sandbox {
    const sandbox = makeSandbox();
    example.arrangeContainer?.(sandbox);
    return sandbox;
  }

  /** An attachment that was added, and what its later calls need. */
  function attach(options: { containerId?: string; name?: string } = {}) {
    const { containerId = "cid-1", name = example.config.name } = options;
    const sandbox = makeContainer();
    const who = { containerId, netns: sandbox.path };
    const handed = capabilities({ containerId, name });
    const chained: Json = { ...prepare({ ...who, name }), ...handed };
    const before = sandbox.snapshot();
    const { stdout } = caller.succeed(call("ADD", { ...who, config: configure({ name, ...chained }) }));
    const result: Json & Shown = JSON.parse(stdout);
    const config = configure({ name, ...handed, ...(atLeast(version, "0.3.0") ? { prevResult: result } : {}) });
    return { who: { ...who, config }, sandbox, before, result, stdout, chained };
  }

  function warmUp(): void {
    freshNode();
    example.site.arrange();
    using sandbox = new Sandbox();
    example.arrangeContainer?.(sandbox);
    const who = { containerId: "cid-1", netns: sandbox.path };
    const named = { ...who, name: example.config.name };
    caller.succeed(call("ADD", { ...who, config: configure({ ...prepare(named), ...capabilities(named) }) }));
    caller.succeed(call("DEL", who));
    clearPrepared();
    clean = nodeSnapshot();
  }

  beforeEach(() => {
    if (dirty) warmUp();
    dirty = true;
  });
  afterEach(() => {
    clearPrepared();
    expect(nodeSnapshot(), "the node is as before").toEqual(clean);
    dirty = false;
  });

  describe("VERSION", () => {
    const dummy = { CNI_NETNS: "dummy", CNI_IFNAME: "dummy", CNI_PATH: "dummy" };

    it("answers in the version it is asked in, whatever the other variables say", () => {
      const { stdout, stderr } = caller.succeed({ type, command: "VERSION", config: { cniVersion: version }, env: dummy });
      expect(JSON.parse(stdout)).toEqual({ cniVersion: version, supportedVersions: versions });
      expect(stderr).toBe("");
    });
  });

  describe("ADD", () => {
    it("gives a result of this version", () => {
      const { result, stdout, who, sandbox } = attach();
      expectResultShape(stdout, version);
      if (example.kind === "ipam") {
        expect(result).not.toHaveProperty("interfaces");
        for (const ip of result.ips ?? []) expect(ip).not.toHaveProperty("interface");
      } else if (atLeast(version, "0.3.0")) {
        const inside = (result.interfaces ?? []).filter((link) => link.sandbox !== undefined);
        expect(inside.map((link) => link.sandbox)).toEqual([sandbox.path]);
        for (const { interface: index = -1 } of result.ips ?? []) expect(result.interfaces?.[index]).toEqual(inside[0]);
      }
      caller.succeed(call("DEL", who));
    });

    it("for the second time fails and leaves the first as it is, or repeats it", () => {
      const { before, who, sandbox, stdout, chained } = attach();
      const [node, container] = [nodeSnapshot(), sandbox.snapshot()];
      const again = call("ADD", { ...who, config: configure(chained) });
      if (example.repeatable) expect(caller.succeed(again).stdout).toBe(stdout);
      else caller.fail(again);
      expect(nodeSnapshot()).toEqual(node);
      expect(sandbox.snapshot()).toEqual(container);
      if (atLeast(version, "0.4.0")) caller.succeed(call("CHECK", who));
      caller.succeed(call("DEL", who));
      expect(sandbox.snapshot()).toEqual(before);
    });

    it("can follow a DEL with the same names", () => {
      const first = attach();
      caller.succeed(call("DEL", first.who));
      clearPrepared();
      const second = attach();
      caller.succeed(call("DEL", second.who));
    });

    if (example.kind === "chained")
      it("without the result of the plugin before it is refused, and with it passes on what that made", () => {
        const sandbox = makeSandbox();
        expect(caller.fail(call("ADD", { netns: sandbox.path }))).toMatchObject({ code: 7, steps: [] });
        const { chained, result, who } = attach();
        const { ips, routes, dns } = chained.prevResult as Json;
        expect(result).toMatchObject(JSON.parse(JSON.stringify({ ips, routes, dns })));
        caller.succeed(call("DEL", who));
      });

    const needsAddresses = !atLeast(version, "0.3.0") && example.kind === "interface" && example.config.ipam !== undefined;
    if (needsAddresses)
      it("without addresses, which a result of this version cannot do without, is refused before any work", () => {
        const { ipam: _, ...config } = configure();
        const sandbox = makeSandbox();
        expect(caller.fail(call("ADD", { config, netns: sandbox.path }))).toMatchObject({ code: 7, steps: [] });
      });
  });

  describe("CHECK", () => {
    if (atLeast(version, "0.4.0"))
      it("passes right after ADD, without a change", () => {
        const { who } = attach();
        expect(caller.succeed(call("CHECK", who)).steps).toEqual([]);
        caller.succeed(call("DEL", who));
      });

    if (atLeast(version, "0.4.0"))
      it("fails after damage, with what there should be and what there is", () => {
        const { who, sandbox, result } = attach();
        const found: string[] = [];
        const note = (title: string, { code, msg }: PluginError) => found.push([title, code, ...vague(msg)].join(": "));
        const damages = example.damages ?? damagesOf;
        for (const { title, damage } of damages(result, sandbox)) {
          const repair = damage();
          note(title, caller.fail(call("CHECK", who)));
          repair?.();
        }
        for (const ips of example.kind === "ipam" ? wrongAddresses(result) : []) {
          const prevResult = { ...result, ips };
          note(JSON.stringify(ips), caller.fail(call("CHECK", { ...who, config: configure({ prevResult }) })));
        }
        expect(found.length).toBeGreaterThan(0);
        expect(found.filter((line) => !line.endsWith(": 999"))).toEqual([]);
        caller.succeed(call("DEL", who));
      });

    if (atLeast(version, "0.4.0"))
      it("without the result of the ADD fails", () => {
        const { who } = attach();
        expect(caller.fail(call("CHECK", { ...who, config: configure() }))).toMatchObject({ code: 7, steps: [] });
        caller.succeed(call("DEL", who));
      });

    if (!atLeast(version, "0.4.0"))
      it("is not in this version", () => {
        const sandbox = makeSandbox();
        expect(caller.fail(call("CHECK", { netns: sandbox.path }))).toMatchObject({ code: 1, steps: [] });
      });
  });

  describe("DEL", () => {
    it("leaves the container as before, and so does the next one", () => {
      const { before, sandbox, who } = attach();
      caller.succeed(call("DEL", who));
      expect(sandbox.snapshot()).toEqual(before);
      caller.succeed(call("DEL", who));
      expect(sandbox.snapshot()).toEqual(before);
    });

    it("needs no result of the ADD", () => {
      const { before, sandbox, who } = attach();
      caller.succeed(call("DEL", { ...who, config: configure() }));
      expect(sandbox.snapshot()).toEqual(before);
    });

    it("needs no namespace", () => {
      const { who, sandbox } = attach();
      example.endNamespace?.(sandbox);
      caller.succeed(call("DEL", { ...who, env: { CNI_NETNS: "" } }));
      caller.succeed(call("DEL", { ...who, env: { CNI_NETNS: undefined }, config: configure() }));
    });

    it("takes a namespace that is gone for none", () => {
      const { who, sandbox } = attach();
      example.endNamespace?.(sandbox);
      sandbox[Symbol.dispose]();
      caller.succeed(call("DEL", who));
      caller.succeed(call("DEL", { ...who, netns: join(directory, "gone", "blue"), config: configure() }));
    });

    it("takes a plain file, as a deleted namespace leaves it, for none", () => {
      const { who, sandbox } = attach();
      example.endNamespace?.(sandbox);
      const file = join(directory, "plain");
      writeFileSync(file, "");
      caller.succeed(call("DEL", { ...who, netns: file }));
    });

    it("of what was never added succeeds", () => {
      const sandbox = makeSandbox();
      const before = sandbox.snapshot();
      caller.succeed(call("DEL", { netns: sandbox.path }));
      expect(sandbox.snapshot()).toEqual(before);
    });

    it("does not care for a broken prevResult", () => {
      const { who } = attach();
      caller.succeed(call("DEL", { ...who, config: configure({ prevResult: { ips: "none" } }) }));
    });
  });

  const valid = "cni.dev/valid-attachments";
  const id = (containerID: string) => ({ containerID, ifname: "eth0" });

  if (atLeast(version, "1.1.0"))
    describe("GC", () => {
      it.each([
        ["an empty list", { [valid]: [] }],
        ["null", { [valid]: null }],
        ["an empty list under the older name", { "cni.dev/attachments": [] }],
      ])("with %s removes everything of the network", (_title, more) => {
        for (const { sandbox } of [attach(), attach({ containerId: "cid-2" })]) example.endNamespace?.(sandbox);
        collect(more);
        expect(nodeSnapshot()).toEqual(clean);
        collect(more);
      });

      it("without a list removes nothing, and says so", () => {
        const { who } = attach();
        const before = nodeSnapshot();
        expect(caller.succeed(call("GC")).stderr).toContain("this plugin removed nothing");
        expect(nodeSnapshot()).toEqual(before);
        caller.succeed(call("CHECK", who));
        caller.succeed(call("DEL", who));
      });

      it("keeps the attachments in its list and those of other networks", () => {
        const kept = attach({ containerId: "cid-kept" });
        const other = attach({ containerId: "cid-other", name: `${example.config.name}2` });
        const before = nodeSnapshot();
        example.endNamespace?.(attach({ containerId: "cid-stale" }).sandbox);
        collect({ [valid]: [id("cid-kept")] });
        expect(nodeSnapshot()).toEqual(before);
        for (const { who } of [kept, other]) {
          caller.succeed(call("CHECK", who));
          caller.succeed(call("DEL", who));
        }
      });
    });

  if (atLeast(version, "1.1.0"))
    describe("STATUS", () => {
      it("is fine, without a change", () => expect(caller.succeed(call("STATUS")).steps).toEqual([]));
    });

  if (!atLeast(version, "1.1.0"))
    it.each(["GC", "STATUS"])("%s is not in this version", (command) => {
      expect(caller.fail(call(command, { config: configure({ [valid]: [] }) }))).toMatchObject({ code: 1, steps: [] });
    });

  describe("refuses before any work", () => {
    const env = (more: PluginCall["env"]) => ({ env: more ?? {} });
    it.each<[code: number, title: string, make: () => Partial<PluginCall>]>([
      [1, "a version that does not exist", () => ({ config: configure({ cniVersion: "9.9.9" }) })],
      [4, "a verb that does not exist", () => env({ CNI_COMMAND: "REPLACE" })],
      [4, "an empty container id", () => env({ CNI_CONTAINERID: "" })],
      [4, "a container id that leads elsewhere", () => env({ CNI_CONTAINERID: "../cid" })],
      [4, "no namespace", () => env({ CNI_NETNS: undefined })],
      [4, "no interface name", () => env({ CNI_IFNAME: undefined })],
      [4, "an interface name that is too long", () => env({ CNI_IFNAME: "abcdefghijklmnop" })],
      [4, "an unknown argument", () => env({ CNI_ARGS: "COLOUR=blue" })],
      [4, "an argument without a value", () => env({ CNI_ARGS: "IgnoreUnknown=1;blue" })],
      [6, "no configuration", () => ({ config: "" })],
      [6, "half a configuration", () => ({ config: JSON.stringify(configure()).slice(0, -1) })],
      [6, "two configurations", () => ({ config: JSON.stringify(configure()).repeat(2) })],
      [6, "a list", () => ({ config: "[]" })],
      [6, "bytes that are no text", () => ({ config: Uint8Array.of(0xff, 0xfe, 0, 0) })],
      [7, "no network name", () => ({ config: configure({ name: undefined }) })],
      [7, "a network name that leads elsewhere", () => ({ config: configure({ name: "../net" }) })],
      [7, "a version that is no text", () => ({ config: configure({ cniVersion: 1 }) })],
      [7, "dns that is no object", () => ({ config: configure({ dns: "10.0.0.1" }) })],
      [7, "ipam that is no object", () => ({ config: { ...configure(), ipam: "here" } })],
      [
        7,
        "a prevResult that is none",
        () => ({ config: configure({ prevResult: { ips: [{ address: "here" }], ip4: { ip: "here" } } }) }),
      ],
    ])("with code %i: %s", (code, _title, make) => {
      const sandbox = makeSandbox();
      const before = sandbox.snapshot();
      const error = caller.fail(call("ADD", { netns: sandbox.path, ...make() }));
      expect(error).toMatchObject({ code, steps: [], cniVersion: expect.stringMatching(/^\d\.\d\.\d$/) });
      expect(sandbox.snapshot()).toEqual(before);
    });

    it.each(["ADD", "DEL"])("with code 8: the node's own namespace (%s)", (command) => {
      const fd = openSync("/proc/thread-self/ns/net", "r");
      const own = ["/proc/thread-self/ns/net", `/proc/${process.pid}/fd/${fd}`];
      for (const netns of own)
        expect(caller.fail(call(command, { netns }))).toMatchObject({ code: 8, steps: [], cniVersion: version });
      closeSync(fd);
    });

    it("an ADD that gives neither namespace nor anything else, naming all that is missing", () => {
      const { code, msg } = caller.fail(call("ADD", { env: { CNI_CONTAINERID: "", CNI_IFNAME: "", CNI_NETNS: "" } }));
      expect({ code, msg }).toEqual({ code: 4, msg: "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME] missing" });
    });
  });

  describe("refuses", () => {
    const refusals = example.refusals.filter(({ command }) => command !== "STATUS" || atLeast(version, "1.1.0"));
    it.each(refusals)("$title ($command, code $code)", ({ command, code, config, arrange }) => {
      const sandbox = makeContainer();
      const who = { containerId: "cid-1", netns: sandbox.path };
      const chained = prepare({ ...who, name: example.config.name });
      const before = sandbox.snapshot();
      const undo = arrange?.(example.config.name, sandbox);
      const error = caller.fail(call(command, { ...who, config: configure({ ...chained, ...config }) }));
      undo?.();
      expect(error).toMatchObject({ code, cniVersion: version });
      if (code === 2)
        for (const [key, value] of Object.entries(config)) expect(error.msg).toContain(`"${key}" is ${JSON.stringify(value)}`);
      expect(sandbox.snapshot()).toEqual(before);
    });

    it("a namespace that is gone, where it needs one", () => {
      const netns = join(directory, "gone", "blue");
      const config = configure(example.kind === "chained" ? { prevResult: anyResult(version) } : {});
      const answer = example.kind === "chained" ? caller.call(call("ADD", { netns, config })) : undefined;
      if (answer !== undefined) {
        if (answer.exitCode === 0) caller.succeed(call("DEL", { netns }));
        else expect(expectError(answer)).toMatchObject({ msg: expect.stringContaining(netns), code: 8 });
        expect(answer.exitCode === 0 || answer.steps.length === 0).toBe(true);
      } else if (example.kind === "ipam" && example.arrangeContainer === undefined) {
        caller.succeed(call("ADD", { netns }));
        caller.succeed(call("DEL", { netns }));
      } else {
        expect(caller.fail(call("ADD", { netns }))).toMatchObject({ code: 8, steps: [], msg: expect.stringContaining(netns) });
      }
    });
  });
}

/** A result of one address, which is all that one of every version must have. */
function anyResult(version: Version): Json {
  const [address, cniVersion] = ["10.90.9.9/24", version];
  return atLeast(version, "0.3.0") ? { cniVersion, ips: [{ version: "4", address }] } : { cniVersion, ip4: { ip: address } };
}

function merged(one: unknown, other: unknown): unknown {
  return typeof one === "object" && typeof other === "object" ? { ...one, ...other } : (other ?? one);
}
