import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FileLock } from "../../src/sys/file-lock.ts";
import { Bench } from "../support/attach.ts";
import type { Json } from "../support/call-plugin.ts";
import { callProcess, reference } from "../support/implementation.ts";
import { needs, supports } from "../support/kernel-features.ts";
import { makeSandbox, type Sandbox } from "../support/node.ts";
import { lacking } from "../support/reference.ts";

// Types sbr and vrf by podlink in this process and by the reference's plugins: each works with what the other has left.

const missing = lacking(reference.path);
const bench = new Bench();

const ranges = ["10.1.2.0/24", "10.1.3.0/24", "fd01::/64"].map((subnet) => [{ subnet }]);
const bridge = {
  cniVersion: "1.0.0",
  name: "net1",
  type: "bridge",
  bridge: "br0",
  ipam: { type: "host-local", ranges, routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }, { dst: "10.9.0.0/16", gw: "10.1.2.9" }] },
};

/** A container that a bridge has attached, for chained types to be called on. */
interface Prepared {
  readonly sandbox: Sandbox;
  readonly prevResult: Json;
}

function prepare(ifname = "eth0", sandbox = makeSandbox()): Prepared {
  const prevResult = bench.caller.add({ type: "bridge", config: bridge, netns: sandbox.path, ifname }) as unknown as Json;
  return { sandbox, prevResult };
}

interface Call extends Partial<Prepared> {
  readonly netns: string;
  readonly config: Json & { readonly type: string };
}

/** @returns the result, where there is one */
function theirs(command: string, { netns, config, prevResult }: Call): Json | undefined {
  const request = { cniVersion: "1.0.0", name: "net1", ...config, ...(prevResult === undefined ? {} : { prevResult }) };
  const { exitCode, output } = callProcess(reference, { type: config.type, command, config: request, netns });
  expect({ exitCode, ...(exitCode === 0 ? {} : output) }, `${command} by the reference`).toEqual({ exitCode: 0 });
  return output;
}

function ours(command: string, { netns, config, prevResult }: Call, ifname = "eth0"): Json | undefined {
  const request = { cniVersion: "1.0.0", name: "net1", ...config, ...(prevResult === undefined ? {} : { prevResult }) };
  const { stdout } = bench.caller.succeed({ type: config.type, command, config: request, netns, ifname });
  return stdout === "" ? undefined : JSON.parse(stdout);
}

/** Rules and IPv4 routes, IPv6 routes of the tables that IPv6 rules lead to; without who made them. */
function routing(sandbox: Sandbox): string[] {
  const lines = (...words: string[]) =>
    sandbox
      .ip(...words)
      .split("\n")
      .map((line) => line.replace(/ proto \w+/, "").trim());
  const rules = [...lines("-4", "rule"), ...lines("-6", "rule")].filter((line) => / lookup \d+/.test(line));
  const six = rules.flatMap((line) => (line.includes("::") ? [/lookup (\d+)/.exec(line)?.[1] ?? ""] : []));
  const routes = [
    ...lines("-4", "route", "show", "table", "all").filter((line) => line.includes(" table ") && !line.includes("table local")),
    ...six.flatMap((table) => lines("-6", "route", "show", "table", table)),
    ...lines("-4", "route", "show"),
  ];
  return [...rules, ...routes.filter((line) => line !== "" && !line.startsWith("fe80")).sort()];
}

const rules = (sandbox: Sandbox): string[] => routing(sandbox).filter((line) => line.includes("lookup"));

describe.skipIf(missing !== "")(`sbr${missing}`, () => {
  const config = { type: "sbr" };

  it("makes of the same container the same rules, tables and routes, and the same result", () => {
    const [a, b] = [theirs, ours].map((add) => {
      const { sandbox, prevResult } = prepare();
      const result = add("ADD", { netns: sandbox.path, config, prevResult });
      expect(JSON.stringify(result)).not.toBe("");
      const state = routing(sandbox);
      bench.caller.succeed({ type: "bridge", command: "DEL", config: bridge, netns: sandbox.path });
      const text = JSON.stringify({ result, state });
      const [own = ""] = sandbox.path.split("\n");
      return JSON.parse(
        text
          .replaceAll(own, "SANDBOX")
          .replace(/"mac":"[^"]*"/g, '"mac":"MAC"')
          .replace(/pl\w{13}/g, "PORT"),
      );
    });
    expect(a.state).toHaveLength(10);
    const next = (text: string) => text.replace(/(10\.1\.[23]|fd01:):?\.?([23])\b/g, "$1.x"); // they have the address after
    expect(JSON.parse(next(JSON.stringify(b)))).toEqual(JSON.parse(next(JSON.stringify(a))));
  });

  it.each([true, false])("what the reference adds podlink checks and deletes, its tables too (prevResult: %s)", (known) => {
    const { sandbox, prevResult } = prepare();
    const call = { netns: sandbox.path, config, prevResult };
    theirs("ADD", call);
    expect(rules(sandbox)).toHaveLength(3);
    ours("CHECK", call);
    ours("DEL", known ? call : { netns: sandbox.path, config });
    expect(routing(sandbox)).toEqual([]);
    expect(
      sandbox
        .ip("-6", "route", "show", "table", "all")
        .split("\n")
        .filter((line) => /table 1\d\d/.test(line)),
    ).toEqual([]);
    bench.caller.succeed({ type: "bridge", command: "DEL", config: bridge, netns: sandbox.path });
  });

  it("what podlink adds the reference checks and deletes", () => {
    const { sandbox, prevResult } = prepare();
    const call = { netns: sandbox.path, config, prevResult };
    ours("ADD", call);
    theirs("CHECK", call);
    theirs("DEL", call);
    expect(rules(sandbox)).toEqual([]);
    bench.caller.succeed({ type: "bridge", command: "DEL", config: bridge, netns: sandbox.path });
    ours("DEL", call);
  });

  it("of an interface that is gone podlink deletes the reference's rules, where it is told the addresses", () => {
    const { sandbox, prevResult } = prepare();
    const call = { netns: sandbox.path, config, prevResult };
    theirs("ADD", call);
    sandbox.ip("link", "del", "eth0");
    ours("DEL", { netns: sandbox.path, config });
    expect(rules(sandbox)).toHaveLength(3);
    ours("DEL", call);
    expect(rules(sandbox)).toEqual([]);
  });

  it("one interface by each: no table twice, and each is deleted alone", () => {
    const { sandbox, prevResult } = prepare();
    const first = { netns: sandbox.path, config, prevResult };
    theirs("ADD", first);
    const second = { ...first, prevResult: prepare("net1", sandbox).prevResult };
    ours("ADD", second, "net1");
    const tables = rules(sandbox).map((line) => /lookup (\d+)/.exec(line)?.[1]);
    expect(new Set(tables).size).toBe(6);
    ours("CHECK", second, "net1");
    ours("DEL", first);
    ours("CHECK", second, "net1");
    expect(rules(sandbox)).toHaveLength(3);
    ours("DEL", second, "net1");
    expect(rules(sandbox)).toEqual([]);
  });

  it("waits while podlink holds the namespace's lock: it is the same one", async () => {
    const { sandbox, prevResult } = prepare();
    const lock = FileLock.acquireExisting(sandbox.path, { name: "the namespace", timeoutMs: 0 });
    const env = {
      CNI_COMMAND: "ADD",
      CNI_CONTAINERID: "cid-1",
      CNI_IFNAME: "eth0",
      CNI_NETNS: sandbox.path,
      CNI_PATH: reference.path,
    };
    const child = spawn(join(reference.path, "sbr"), { env, stdio: ["pipe", "ignore", "ignore"] });
    child.stdin.end(JSON.stringify({ cniVersion: "1.0.0", name: "net1", ...config, prevResult }));
    const ended = new Promise((resolve) => child.on("exit", resolve));
    const waits = () => new RegExp(`-> FLOCK .* ${child.pid} `).test(readFileSync("/proc/locks", "utf8"));
    while (!waits() && child.exitCode === null) await new Promise((resolve) => setImmediate(resolve));
    expect([child.exitCode, rules(sandbox)]).toEqual([null, []]);
    lock[Symbol.dispose]();
    expect(await ended).toBe(0);
    expect(rules(sandbox)).toHaveLength(3);
  });
});

const has = supports("vrf");

describe.skipIf(missing !== "" || !has)(`vrf${missing}${needs("vrf")}`, () => {
  const config = { type: "vrf", vrfname: "red", table: 10 };
  const ports = (sandbox: Sandbox) =>
    sandbox.ipJson<{ ifname: string }>("link", "show", "master", "red").map(({ ifname }) => ifname);
  const vrfs = (sandbox: Sandbox) => sandbox.ipJson("link", "show", "type", "vrf");
  const inTable = (sandbox: Sandbox) =>
    [
      ...sandbox.ip("-4", "route", "show", "table", "10").split("\n"),
      ...sandbox.ip("-6", "route", "show", "table", "10").split("\n"),
    ]
      .filter((line) => line !== "" && !/^(fe80|local|broadcast|multicast|anycast|ff00)/.test(line))
      .map((line) => line.trim())
      .sort();

  it("what either adds the other checks and deletes", () => {
    const states = [[theirs, ours] as const, [ours, theirs] as const].map(([add, remove]) => {
      const { sandbox, prevResult } = prepare();
      const call = { netns: sandbox.path, config, prevResult };
      expect(add("ADD", call)).toMatchObject({ ips: prevResult.ips });
      expect(ports(sandbox)).toEqual(["eth0"]);
      const state = inTable(sandbox);
      for (const check of [add, remove]) check("CHECK", call);
      remove("DEL", call);
      expect(vrfs(sandbox)).toEqual([]);
      expect(sandbox.ip("-6", "address", "show", "dev", "eth0")).toContain("fd01::");
      bench.caller.succeed({ type: "bridge", command: "DEL", config: bridge, netns: sandbox.path });
      return state.map((line) => line.replace(/src \S+/, ""));
    });
    expect(states[1]).toEqual(states[0]);
    expect(states[1]).toHaveLength(6);
  });
});
