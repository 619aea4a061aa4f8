import { describe, expect, it } from "vitest";
import { toCniError } from "../../../src/cni/error.ts";
import { ResultCache } from "../../../src/runtime/cache.ts";
import { addNetwork, checkNetwork, delNetwork, gcNetwork, statusNetwork } from "../../../src/runtime/chain.ts";
import type { Invoke, Outcome } from "../../../src/runtime/invoke.ts";
import { type NetworkList, parseNetworkList } from "../../../src/runtime/network-list.ts";
import type { Attachment, Runtime } from "../../../src/runtime/plugin-call.ts";
import { Steps } from "../../../src/support/steps.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

interface Seen {
  readonly call: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly config: Readonly<Record<string, unknown>>;
}

const attachment: Attachment = {
  containerId: "c1",
  netns: "/run/netns/blue",
  ifname: "eth0",
  cniArgs: [
    ["A", "1"],
    ["B", "2"],
  ],
  capabilityArgs: { mac: "02:00:00:00:00:01", ips: ["10.1.2.3/24"], bandwidth: {} },
};

const key = { network: "demo", containerId: "c1", ifname: "eth0" };

function makeList(changes: Record<string, unknown> = {}): NetworkList {
  const plugins = [{ type: "first", capabilities: { mac: true, ips: false, dns: true } }, { type: "second" }];
  return parseNetworkList(new TextEncoder().encode(JSON.stringify({ cniVersion: "1.1.0", name: "demo", plugins, ...changes })));
}

/** Plugins whose answer depends on `DEL second`; ADD answers a result that names the plugin. */
function fake(answers: Readonly<Record<string, Partial<Outcome>>> = {}) {
  const seen: Seen[] = [];
  const warnings: string[] = [];
  const invoke: Invoke = (type, { env, stdin }) => {
    const call = `${env.CNI_COMMAND} ${type}`;
    seen.push({ call, env, config: JSON.parse(new TextDecoder().decode(stdin)) });
    const stdout = env.CNI_COMMAND === "ADD" ? JSON.stringify({ cniVersion: "1.1.0", interfaces: [{ name: type }] }) : "";
    return { exitCode: 0, stdout, stderr: "", ...answers[call] };
  };
  const cache = new ResultCache(temporaryDirectory());
  const env = { PATH: "/bin", CNI_PATH: "/opt/cni/bin", CNI_COMMAND: "old", CNI_IFNAME: "old" };
  const runtime: Runtime = { invoke, cache, env, steps: new Steps(), warn: (message) => warnings.push(message) };
  return { runtime, seen, warnings, calls: () => seen.map(({ call }) => call) };
}

function failing(code: number, msg: string, details?: string): Partial<Outcome> {
  return { exitCode: 1, stdout: JSON.stringify({ code, msg, details }) };
}

function caught(work: () => void) {
  try {
    work();
  } catch (error) {
    return toCniError(error);
  }
  throw new Error("nothing was thrown");
}

describe("addNetwork", () => {
  it("hands each plugin the result of the one before and caches the last", () => {
    const { runtime, seen, calls } = fake();
    const list = makeList();
    const result = addNetwork(runtime, list, { attachment, undo: true });
    expect(result).toEqual({ cniVersion: "1.1.0", interfaces: [{ name: "second" }] });
    expect(calls()).toEqual(["ADD first", "ADD second"]);
    expect(seen[0]?.config).not.toHaveProperty("prevResult");
    expect(seen[1]?.config.prevResult).toEqual({ cniVersion: "1.1.0", interfaces: [{ name: "first" }] });
    expect(runtime.cache.read(key)).toMatchObject({ ...key, ...attachment, result, config: Buffer.from(list.bytes) });
  });

  it("says to whom, in the environment and the configuration", () => {
    const { runtime, seen } = fake();
    addNetwork(runtime, makeList({ cniVersion: "0.4.0", cniVersions: ["1.0.0"] }), { attachment, undo: true });
    expect(seen[0]?.env).toEqual({
      PATH: "/bin",
      CNI_PATH: "/opt/cni/bin",
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: "c1",
      CNI_NETNS: "/run/netns/blue",
      CNI_IFNAME: "eth0",
      CNI_ARGS: "A=1;B=2",
    });
    expect(seen[0]?.config).toMatchObject({ name: "demo", cniVersion: "1.0.0", type: "first" });
  });

  it("gives capability arguments to those who declare them", () => {
    const { runtime, seen } = fake();
    addNetwork(runtime, makeList(), { attachment, undo: true });
    expect(seen[0]?.config.runtimeConfig).toEqual({ mac: "02:00:00:00:00:01" });
    expect(seen[1]?.config).not.toHaveProperty("runtimeConfig");
  });

  it("takes a result without version for one of the list's, and converts another one's", () => {
    const bare = fake({ "ADD second": { stdout: "{}" } });
    expect(addNetwork(bare.runtime, makeList(), { attachment, undo: true })).toEqual({ cniVersion: "1.1.0" });
    const old = { cniVersion: "0.2.0", ip4: { ip: "10.1.2.3/24" } };
    const converted = fake({ "ADD second": { stdout: JSON.stringify(old) } });
    expect(addNetwork(converted.runtime, makeList(), { attachment, undo: true })).toEqual({
      cniVersion: "1.1.0",
      ips: [{ address: "10.1.2.3/24" }],
    });
  });

  it("undoes all of it after a failure, and caches nothing", () => {
    const { runtime, calls } = fake({ "ADD second": failing(11, "no address is free", "try later") });
    const error = caught(() => addNetwork(runtime, makeList(), { attachment, undo: true }));
    expect(error.code).toBe(11);
    expect(error.message).toBe(
      'Cannot add "eth0" of "c1" to network "demo": plugin type="second" failed (add): no address is free',
    );
    expect(error.details).toBe("try later; what had been done was undone");
    expect(calls()).toEqual(["ADD first", "ADD second", "DEL second", "DEL first"]);
    expect(runtime.cache.list()).toEqual([]);
  });

  it("says so when undoing fails, with the first error", () => {
    const { runtime } = fake({ "ADD first": failing(7, "bad"), "DEL first": failing(5, "worse") });
    const error = caught(() => addNetwork(runtime, makeList(), { attachment, undo: true }));
    expect(error.code).toBe(7);
    expect(error.details).toMatch(/^undoing it failed too: .*plugin type="first" failed \(del\): worse$/);
  });

  it("leaves alone what was there before", () => {
    const { runtime, calls } = fake({ "ADD first": failing(999, "eth0 exists") });
    runtime.cache.write({ ...key, ...attachment, config: new Uint8Array(), result: {} });
    const error = caught(() => addNetwork(runtime, makeList(), { attachment, undo: false }));
    expect(error.details).toContain("nothing was undone");
    expect(calls()).toEqual(["ADD first"]);
    expect(runtime.cache.read(key)).toBeDefined();
  });

  it.each([
    [{ exitCode: 0, stdout: "" }, 6, "printed no result"],
    [{ exitCode: 0, stdout: "null" }, 6, "printed no result"],
    [{ exitCode: 0, stdout: "hello" }, 6, "printed no result"],
    [{ exitCode: 1, stdout: "", stderr: "" }, 999, "failed with no error message (exit code 1)"],
    [{ exitCode: 2, stdout: "", stderr: "panic: oh\n" }, 999, "failed: panic: oh"],
    [{ exitCode: 1, stdout: "oh no" }, 999, "failed without a JSON error (exit code 1)"],
    [{ exitCode: 1, stdout: "{}" }, 999, "failed with no error message (exit code 1)"],
  ])("makes an error of %j", (outcome, code, text) => {
    const { runtime } = fake({ "ADD first": outcome });
    const error = caught(() => addNetwork(runtime, makeList(), { attachment, undo: true }));
    expect(error.code).toBe(code);
    expect(error.message).toContain(text);
  });

  it("passes on what plugins say on stderr", () => {
    const { runtime, warnings } = fake({ "ADD first": { stderr: "careful\nfirst: its own name\nipam: of another\n" } });
    addNetwork(runtime, makeList(), { attachment, undo: true });
    expect(warnings).toEqual(["first: careful", "first: its own name", "first: ipam: of another"]);
  });
});

describe("delNetwork", () => {
  it("goes backwards with the cached result and forgets it", () => {
    const { runtime, seen, calls } = fake();
    const result = addNetwork(runtime, makeList(), { attachment, undo: true });
    delNetwork(runtime, makeList(), attachment);
    expect(calls().slice(2)).toEqual(["DEL second", "DEL first"]);
    expect(seen.slice(2).map(({ config }) => config.prevResult)).toEqual([result, result]);
    expect(runtime.cache.list()).toEqual([]);
  });

  it("works with nothing cached, and gives no result before 0.4.0", () => {
    const { runtime, seen } = fake();
    delNetwork(runtime, makeList(), attachment);
    runtime.cache.write({ ...key, ...attachment, config: new Uint8Array(), result: {} });
    delNetwork(runtime, makeList({ cniVersion: "0.3.1" }), attachment);
    expect(seen.map(({ config }) => "prevResult" in config)).toEqual([false, false, false, false]);
    expect(runtime.cache.list()).toEqual([]);
  });

  it("runs all plugins, reports all failures and keeps the cached result", () => {
    const { runtime, calls } = fake({ "DEL second": failing(11, "busy"), "DEL first": failing(5, "disk") });
    runtime.cache.write({ ...key, ...attachment, config: new Uint8Array(), result: {} });
    const error = caught(() => delNetwork(runtime, makeList(), attachment));
    expect(calls()).toEqual(["DEL second", "DEL first"]);
    expect(error.code).toBe(11);
    expect(error.message).toContain('plugin type="second" failed (del): busy; plugin type="first" failed (del): disk');
    expect(runtime.cache.read(key)).toBeDefined();
  });
});

describe("checkNetwork", () => {
  it("gives every plugin the cached result, in order, until one fails", () => {
    const { runtime, seen, calls } = fake({ "CHECK second": failing(100, "address is missing") });
    const result = addNetwork(runtime, makeList(), { attachment, undo: true });
    const error = caught(() => checkNetwork(runtime, makeList(), attachment));
    expect(error).toMatchObject({ code: 100, message: expect.stringContaining("address is missing") });
    expect(calls().slice(2)).toEqual(["CHECK first", "CHECK second"]);
    expect(seen[2]?.config.prevResult).toEqual(result);
  });

  it("refuses what was never added, and versions without CHECK", () => {
    const { runtime, calls } = fake();
    expect(caught(() => checkNetwork(runtime, makeList(), attachment)).code).toBe(3);
    expect(caught(() => checkNetwork(runtime, makeList({ cniVersion: "0.3.1" }), attachment)).code).toBe(1);
    expect(calls()).toEqual([]);
  });

  it("does nothing with disableCheck", () => {
    const { runtime, calls } = fake();
    checkNetwork(runtime, makeList({ disableCheck: true }), attachment);
    expect(calls()).toEqual([]);
  });
});

describe("gcNetwork", () => {
  function withThree() {
    const all = fake();
    for (const containerId of ["live", "stale"]) {
      all.runtime.cache.write({ ...attachment, network: "demo", containerId, config: new Uint8Array(), result: {} });
    }
    all.runtime.cache.write({ ...attachment, network: "other", containerId: "stale", config: new Uint8Array(), result: {} });
    return all;
  }

  it("deletes what is not valid with the arguments it was added with, then hands the valid ones to every plugin", () => {
    const { runtime, seen, calls } = withThree();
    gcNetwork(runtime, makeList(), [{ containerId: "live", ifname: "eth0" }]);
    expect(calls()).toEqual(["DEL second", "DEL first", "GC first", "GC second"]);
    expect(seen[0]?.env).toMatchObject({ CNI_CONTAINERID: "stale", CNI_NETNS: "/run/netns/blue", CNI_ARGS: "A=1;B=2" });
    expect(seen[1]?.config.runtimeConfig).toEqual({ mac: "02:00:00:00:00:01" });
    const valid = [{ containerID: "live", ifname: "eth0" }];
    expect(seen[2]?.config).toMatchObject({ name: "demo", "cni.dev/valid-attachments": valid, "cni.dev/attachments": valid });
    expect(seen[2]?.env).toMatchObject({ CNI_COMMAND: "GC", CNI_CONTAINERID: "", CNI_NETNS: "", CNI_IFNAME: "" });
    expect(runtime.cache.list().map(({ network, containerId }) => `${network} ${containerId}`)).toEqual([
      "demo live",
      "other stale",
    ]);
  });

  it("passes an empty list on as one", () => {
    const { runtime, seen } = fake();
    gcNetwork(runtime, makeList(), []);
    expect(seen[0]?.config["cni.dev/valid-attachments"]).toEqual([]);
  });

  it("deletes everything without a list, and gives the plugins none", () => {
    const { runtime, seen, calls } = withThree();
    gcNetwork(runtime, makeList(), undefined);
    expect(calls()).toEqual(["DEL second", "DEL first", "DEL second", "DEL first", "GC first", "GC second"]);
    expect(Object.keys(seen[4]?.config ?? {})).not.toContain("cni.dev/valid-attachments");
    expect(runtime.cache.list()).toHaveLength(1);
  });

  it("goes on after failures and reports all", () => {
    const { runtime, calls } = fake({ "DEL first": failing(5, "disk"), "GC first": failing(5, "bridge") });
    runtime.cache.write({ ...key, ...attachment, config: new Uint8Array(), result: {} });
    const error = caught(() => gcNetwork(runtime, makeList(), []));
    expect(calls()).toEqual(["DEL second", "DEL first", "GC first", "GC second"]);
    expect(error.message).toMatch(/disk; .*bridge/);
    expect(error.code).toBe(5);
  });

  it("only deletes before 1.1.0, and does nothing with disableGC", () => {
    const { runtime, calls } = withThree();
    gcNetwork(runtime, makeList({ disableGC: true }), []);
    expect(calls()).toEqual([]);
    gcNetwork(runtime, makeList({ cniVersion: "1.0.0" }), [{ containerId: "live", ifname: "eth0" }]);
    expect(calls()).toEqual(["DEL second", "DEL first"]);
  });
});

describe("statusNetwork", () => {
  it("asks until one cannot serve and keeps its code", () => {
    const { runtime, calls } = fake({ "STATUS first": failing(50, "no addresses left") });
    const error = caught(() => statusNetwork(runtime, makeList()));
    expect(error).toMatchObject({ code: 50, message: expect.stringContaining('Cannot serve network "demo"') });
    expect(calls()).toEqual(["STATUS first"]);
  });

  it("asks nobody before 1.1.0", () => {
    const { runtime, calls } = fake();
    statusNetwork(runtime, makeList({ cniVersion: "1.0.0" }));
    expect(calls()).toEqual([]);
  });
});
