import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Invoke, InvokeRequest, Outcome } from "../../../src/runtime/invoke.ts";
import { fakeShell } from "../../support/fake-shell.ts";

interface Seen {
  readonly type: string;
  readonly env: InvokeRequest["env"];
  readonly config: Readonly<Record<string, unknown>>;
}

/** A namespace that is there as long as this process is, and where nothing is changed. */
const NETNS = "/proc/self/ns/net";

const result = { cniVersion: "1.1.0", ips: [{ address: "10.1.2.3/24" }] };

/** A shell with network `demo` of one plugin; `answers` by verb. */
function shellWith(options: { answers?: Record<string, Partial<Outcome>>; env?: Record<string, string>; list?: object } = {}) {
  const seen: Seen[] = [];
  const invoke: Invoke = (type, { env, stdin, steps }) => {
    seen.push({ type, env, config: JSON.parse(new TextDecoder().decode(stdin)) });
    const verb = env.CNI_COMMAND ?? "";
    steps.run(`${verb} typed by a person`, () => {});
    return { exitCode: 0, stdout: verb === "ADD" ? JSON.stringify(result) : "", stderr: "", ...options.answers?.[verb] };
  };
  const shell = fakeShell({ invoke, ...(options.env === undefined ? {} : { env: options.env }) });
  const list = { cniVersion: "1.1.0", name: "demo", plugins: [{ type: "bridge", capabilities: { ips: true } }], ...options.list };
  mkdirSync(join(shell.directory, "conf"));
  const conflist = join(shell.directory, "conf/demo.conflist");
  writeFileSync(conflist, JSON.stringify(list));
  return {
    ...shell,
    seen,
    conflist,
    verbs: () => seen.map(({ env }) => env.CNI_COMMAND),
    results: join(shell.directory, "cache/results"),
  };
}

/** cnitool's own formula. */
function idOf(path: string): string {
  return `cnitool-${createHash("sha512").update(path).digest().subarray(0, 10).toString("hex")}`;
}

describe("podlink add", () => {
  it("prints the result and remembers it as cnitool does", () => {
    const { type, seen, results } = shellWith();
    expect(type("add", "demo", NETNS)).toEqual({ exitCode: 0, stdout: `${JSON.stringify(result, null, 4)}\n`, stderr: "" });
    expect(seen[0]?.env).toMatchObject({ CNI_CONTAINERID: idOf(NETNS), CNI_NETNS: NETNS, CNI_IFNAME: "eth0", CNI_ARGS: "" });
    expect(readdirSync(results)).toEqual([`demo-${idOf(NETNS)}-eth0`]);
  });

  it("has the container id that cnitool has", () => {
    const { type, seen } = shellWith();
    type("del", "demo", "/var/run/netns/testing");
    // printf %s /var/run/netns/testing | sha512sum | cut -c1-20
    expect(seen[0]?.env.CNI_CONTAINERID).toBe("cnitool-77383ca0a0715733ca6f");
  });

  it("looks for plugins beside itself, then in the usual place, or where CNI_PATH says", () => {
    const usual = shellWith();
    usual.type("add", "demo", NETNS);
    expect(usual.seen[0]?.env.CNI_PATH).toBe(`${usual.directory}:/opt/cni/bin`);
    const told = shellWith({ env: { CNI_PATH: "/else" } });
    told.type("add", "demo", NETNS);
    expect(told.seen[0]?.env.CNI_PATH).toBe("/else");
  });

  it("takes interface and arguments from the environment, and the option before it", () => {
    const env = { CNI_IFNAME: "net1", CNI_ARGS: "IP=10.1.2.3;GATEWAY=10.1.2.1", CAP_ARGS: '{"ips":["10.1.2.3/24"],"mac":"x"}' };
    const { type, seen } = shellWith({ env });
    type("add", "demo", NETNS);
    type("add", "-i", "net2", "demo", NETNS);
    expect(seen.map((one) => one.env.CNI_IFNAME)).toEqual(["net1", "net2"]);
    expect(seen[0]?.env.CNI_ARGS).toBe(env.CNI_ARGS);
    expect(seen[0]?.config.runtimeConfig).toEqual({ ips: ["10.1.2.3/24"] });
  });

  it.each([
    [{ CNI_ARGS: "IP" }, '"IP" is not of the form K=V'],
    [{ CNI_ARGS: "IP=" }, '"IP=" is not of the form K=V'],
    [{ CNI_ARGS: "A=1;" }, '"" is not of the form K=V'],
    [{ CNI_ARGS: "A=1=2" }, '"A=1=2" is not of the form K=V'],
    [{ CAP_ARGS: "{" }, "Cannot parse CAP_ARGS"],
    [{ CAP_ARGS: "[]" }, "Cannot parse CAP_ARGS"],
  ])("refuses %j", (env, message) => {
    const { type, seen } = shellWith({ env });
    const { exitCode, stderr } = type("add", "demo", NETNS);
    expect([exitCode, seen]).toEqual([1, []]);
    expect(stderr).toContain(message);
    expect(stderr).toContain("[code 4]");
  });

  it("refuses what is no namespace, and calls nobody", () => {
    const { type, directory, seen } = shellWith();
    const { exitCode, stdout, stderr } = type("add", "demo", join(directory, "gone"));
    expect([exitCode, stdout, seen]).toEqual([1, "", []]);
    expect(stderr).toMatch(/is not a network namespace \[code 8\]\n {2}there is no such file/);
  });

  it("undoes a failed addition and prints nothing on stdout", () => {
    const answers = { ADD: { exitCode: 1, stdout: '{"code":11,"msg":"no address is free","details":"GC may help"}' } };
    const { type, verbs } = shellWith({ answers });
    const { exitCode, stdout, stderr } = type("add", "-i", "nosuch0", "demo", NETNS);
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(
      /^podlink: Cannot add .*: no address is free \[code 11\]\n {2}GC may help; what had been done was undone\n$/,
    );
    expect(verbs()).toEqual(["ADD", "DEL"]);
  });

  it("does not undo into an attachment that was there before", () => {
    const failure = { exitCode: 0, stdout: JSON.stringify(result) };
    const answers: Record<string, Partial<Outcome>> = { ADD: failure };
    const { type, verbs, results } = shellWith({ answers });
    type("add", "-i", "nosuch0", "demo", NETNS);
    answers.ADD = { exitCode: 1, stdout: '{"code":999,"msg":"already there"}' };
    expect(type("add", "-i", "nosuch0", "demo", NETNS).stderr).toContain("nothing was undone");
    expect(verbs()).toEqual(["ADD", "ADD"]);
    expect(readdirSync(results)).toHaveLength(1);
  });

  it("explains what was done", () => {
    const { type, results } = shellWith({ answers: { ADD: { stdout: JSON.stringify(result), stderr: "beware\nof this\n" } } });
    const { stdout, stderr } = type("add", "--explain", "-i", "nosuch0", "demo", NETNS);
    expect(JSON.parse(stdout)).toEqual(result);
    expect(stderr).toMatch(
      /^# podlink: bridge: beware\n# podlink: bridge: of this\nADD typed by a person {2}# \d+\.\d\d ms\n# remember .* {2}# \d+\.\d\d ms\n$/,
    );
    expect(stderr).toContain(results);
  });

  it("explains also what a failed addition did and undid", () => {
    const { type } = shellWith({ answers: { ADD: { exitCode: 1, stdout: '{"code":11,"msg":"no address is free"}' } } });
    const { exitCode, stderr } = type("add", "--explain", "-i", "nosuch0", "demo", NETNS);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/^ADD typed by a person {2}# .*\nDEL typed by a person {2}# .*\nrm -f .*\npodlink: Cannot add /);
  });
});

describe("podlink del", () => {
  it("prints nothing, forgets the result, and may be repeated", () => {
    const { type, results, verbs } = shellWith();
    type("add", "demo", NETNS);
    expect(type("del", "demo", NETNS)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(readdirSync(results)).toEqual([]);
    expect(type("del", "demo", NETNS)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(verbs()).toEqual(["ADD", "DEL", "DEL"]);
  });

  it("takes a bare name for one below /run/netns, and a relative path from the working directory", () => {
    const { type, seen, directory } = shellWith();
    type("del", "demo", "podlink-test-blue");
    type("del", "demo", "./podlink-test-blue");
    writeFileSync(join(directory, "podlink-test-blue"), "");
    type("del", "demo", "podlink-test-blue");
    const paths = ["/run/netns/podlink-test-blue", join(directory, "podlink-test-blue"), join(directory, "podlink-test-blue")];
    expect(seen.map(({ env }) => env.CNI_NETNS)).toEqual(paths);
    expect(seen.map(({ env }) => env.CNI_CONTAINERID)).toEqual(paths.map(idOf));
  });

  it("uses the arguments and the configuration of the addition when they are gone", () => {
    const env: Record<string, string> = { CNI_ARGS: "IP=10.1.2.3", CAP_ARGS: '{"ips":["10.1.2.3/24"]}' };
    const added = shellWith({ env });
    added.type("add", "demo", NETNS);
    rmSync(added.conflist);
    const later = fakeShell({
      env: { NETCONFPATH: join(added.directory, "conf"), PODLINK_CACHE_DIR: join(added.directory, "cache") },
      invoke: (type, request) => {
        added.seen.push({ type, env: request.env, config: JSON.parse(new TextDecoder().decode(request.stdin)) });
        return { exitCode: 0, stdout: "", stderr: "" };
      },
    });
    const { exitCode, stderr } = later.type("del", "demo", NETNS);
    expect(exitCode).toBe(0);
    expect(stderr).toContain('network "demo" has no configuration any more');
    expect(added.seen[1]).toMatchObject({
      type: "bridge",
      env: { CNI_COMMAND: "DEL", CNI_ARGS: "IP=10.1.2.3" },
      config: { runtimeConfig: { ips: ["10.1.2.3/24"] }, prevResult: result },
    });
  });
});

describe("podlink check and status", () => {
  it("are silent when all is well", () => {
    const { type, verbs } = shellWith();
    type("add", "demo", NETNS);
    expect(type("check", "demo", NETNS)).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(type("status", "demo")).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(type("status", "demo", NETNS).exitCode).toBe(0);
    expect(verbs()).toEqual(["ADD", "CHECK", "STATUS", "STATUS"]);
  });

  it("say when nobody was asked", () => {
    const { type, verbs } = shellWith({ list: { cniVersion: "1.0.0", disableCheck: true, disableGC: true } });
    expect(type("status", "demo").stderr).toContain("STATUS came with 1.1.0");
    expect(type("check", "demo", NETNS).stderr).toContain("disableCheck");
    expect(type("gc", "demo").stderr).toContain("disableGC");
    expect(verbs()).toEqual([]);
  });
});

describe("podlink gc", () => {
  function withStale() {
    const shell = shellWith();
    shell.type("add", "demo", NETNS);
    const [name = ""] = readdirSync(shell.results);
    const entry = JSON.parse(readFileSync(join(shell.results, name), "utf8"));
    const stale = { ...entry, containerId: "stale", netns: join(shell.directory, "gone") };
    writeFileSync(join(shell.results, "demo-stale-eth0"), JSON.stringify(stale));
    return { ...shell, live: name };
  }

  it("deletes what has no namespace any more and keeps the rest", () => {
    const { type, seen, verbs, results, live } = withStale();
    expect(type("gc", "demo")).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(verbs()).toEqual(["ADD", "DEL", "GC"]);
    expect(seen[1]?.env.CNI_CONTAINERID).toBe("stale");
    expect(seen[2]?.config["cni.dev/valid-attachments"]).toEqual([{ containerID: idOf(NETNS), ifname: "eth0" }]);
    expect(readdirSync(results)).toEqual([live]);
  });

  it("deletes all with --all, and gives the plugins no list", () => {
    const { type, seen, verbs, results } = withStale();
    expect(type("gc", "--all", "demo").exitCode).toBe(0);
    expect(verbs()).toEqual(["ADD", "DEL", "DEL", "GC"]);
    expect(seen[3]?.config).not.toHaveProperty("cni.dev/valid-attachments");
    expect(readdirSync(results)).toEqual([]);
  });

  it("leaves everything alone where it cannot tell whose a cached result is: its container may be alive", () => {
    const { type, results, verbs } = withStale();
    writeFileSync(join(results, "demo-broken-eth0"), "");
    const { exitCode, stderr } = type("gc", "demo");
    expect(exitCode).toBe(1);
    expect(stderr).toContain('demo-broken-eth0" is no cached result');
    expect(verbs()).toEqual(["ADD"]);
    expect(existsSync(join(results, "demo-broken-eth0"))).toBe(true);
  });

  it("does not mind a broken result of another network, nor any with --all", () => {
    const { type, results } = withStale();
    writeFileSync(join(results, "other-broken-eth0"), "");
    expect(type("gc", "demo").exitCode).toBe(0);
    writeFileSync(join(results, "demo-broken-eth0"), "");
    expect(type("gc", "--all", "demo").exitCode).toBe(0);
  });
});
