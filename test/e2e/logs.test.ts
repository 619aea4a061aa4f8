import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { bin, type Outcome, requireBuilt, run } from "../support/executable.ts";
import { freshNode, hideMachineState, makeSandbox, output } from "../support/node.ts";

// What the executable tells of its calls: the log, `podlink logs`, and PODLINK_EXPLAIN.

const LOG = "/var/log/podlink/podlink.log";

beforeAll(() => {
  requireBuilt();
  hideMachineState();
});
beforeEach(() => {
  freshNode();
  rmSync("/var/log/podlink", { recursive: true, force: true });
});

const config = {
  cniVersion: "1.1.0",
  name: "demo",
  type: "bridge",
  bridge: "demo0",
  ipam: { type: "host-local", ranges: [[{ subnet: "10.94.0.0/24" }]] },
};

/** A call as a runtime makes it. */
function call(command: string, options: { env?: Record<string, string>; netns?: string; containerId?: string } = {}): Outcome {
  const { netns = "", containerId = "4f1c0a7e2b9d3c55" } = options;
  const who = ["ADD", "DEL", "CHECK"].includes(command)
    ? { CNI_CONTAINERID: containerId, CNI_NETNS: netns, CNI_IFNAME: "eth0", CNI_ARGS: "K8S_POD_NAMESPACE=prod;K8S_POD_NAME=web" }
    : {};
  const env = { CNI_COMMAND: command, CNI_PATH: bin, ...who, ...options.env };
  return run("bridge", [], { env, input: JSON.stringify(config) });
}

/** A successful ADD, a failed one, a DEL and a STATUS. */
function fourCalls(env: Record<string, string> = {}): Outcome[] {
  const { path: netns } = makeSandbox();
  return ["ADD", "ADD", "DEL", "STATUS"].map((command) => call(command, { netns, env }));
}

function logs(...parameters: string[]): string {
  const outcome = run("podlink", ["logs", ...parameters]);
  expect(outcome).toMatchObject({ status: 0, stderr: "" });
  return outcome.stdout;
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

describe("the log", () => {
  it("has a line for each change, with pod, steps, error and trace", () => {
    expect(
      fourCalls({ TRACEPARENT: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }).map(({ status }) => status),
    ).toEqual([0, 1, 0, 0]);
    const entries = lines(readFileSync(LOG, "utf8")).map((line) => JSON.parse(line));
    const who = { type: "bridge", network: "demo", containerId: "4f1c0a7e2b9d3c55", ifname: "eth0", pod: "prod/web" };
    const common = { ...who, ms: expect.any(Number), trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" };
    expect(entries).toMatchObject([
      { ...common, command: "ADD" },
      { ...common, command: "ADD", error: { code: 999, msg: expect.stringContaining("already exists") } },
      { ...common, command: "DEL" },
    ]);
    expect(entries[0].steps).toContainEqual({ command: expect.stringMatching(/^ip link add pl/), ms: expect.any(Number) });
    expect(statSync(LOG).mode & 0o777).toBe(0o600);
  });

  it.each([
    ["all", ["ADD", "ADD", "DEL", "STATUS"]],
    ["changes", ["ADD", "ADD", "DEL"]],
    ["errors", ["ADD"]],
  ])("at level %s has %j", (level, expected) => {
    fourCalls({ PODLINK_LOG_LEVEL: level });
    expect(lines(readFileSync(LOG, "utf8")).map((line) => JSON.parse(line).command)).toEqual(expected);
  });

  it("is put aside at the size asked for, into another place", () => {
    fourCalls({ PODLINK_LOG: "/run/other/calls", PODLINK_LOG_SIZE: "1" });
    expect(readdirSync("/run/other").sort()).toEqual(["calls.1", "calls.2", "calls.3"]);
    expect(existsSync(LOG)).toBe(false);
  });

  it("says once what it cannot use, and no call fails by it", () => {
    const env = { PODLINK_LOG_LEVEL: "loud", PODLINK_LOG_SIZE: "huge" };
    const version = run("bridge", [], { env: { CNI_COMMAND: "VERSION", ...env }, input: "{}" });
    expect(version.status).toBe(0);
    expect(lines(version.stderr)).toEqual([
      expect.stringMatching(/^bridge: PODLINK_LOG_LEVEL is "loud"/),
      expect.stringMatching(/^bridge: PODLINK_LOG_SIZE is "huge"/),
    ]);
    const [add] = fourCalls(env);
    expect(add?.status).toBe(0);
  });
});

describe("PODLINK_EXPLAIN", () => {
  it("names a file to which each call adds what it did, for a shell", () => {
    const path = "/run/explained.sh";
    onTestFinished(() => rmSync(path));
    const { path: netns } = makeSandbox();
    for (const command of ["ADD", "CHECK", "DEL", "VERSION"]) call(command, { netns, env: { PODLINK_EXPLAIN: path } });
    const script = readFileSync(path, "utf8");
    expect(lines(script).filter((line) => /^# \d{4}-/.test(line))).toEqual([
      expect.stringMatching(
        /^# \S+Z bridge ADD, network "demo", container "4f1c0a7e2b9d3c55", interface "eth0", pod "prod\/web": .* ms$/,
      ),
      expect.stringMatching(/^# \S+Z bridge DEL, /),
    ]);
    expect(script).toContain(`nsenter --net=${netns} ip address add 10.94.0.2/24`);
    freshNode();
    output("sh", "-ec", script.replaceAll(netns, makeSandbox().path));
  });

  it("fails no call when it cannot be written", () => {
    const { path: netns } = makeSandbox();
    expect(call("ADD", { netns, env: { PODLINK_EXPLAIN: "/proc/nowhere/explained.sh" } })).toMatchObject({
      status: 0,
      stderr: "",
    });
  });
});

describe("podlink logs", () => {
  it("shows a line per call", () => {
    fourCalls();
    expect(lines(logs())).toEqual([
      expect.stringMatching(/^\S+Z {2}ADD +bridge +demo +4f1c0a7e2b9d3 +prod\/web +\d+\.\d ms {2}ok$/),
      expect.stringMatching(/^\S+Z {2}ADD +bridge +demo +4f1c0a7e2b9d3 +prod\/web +\d+\.\d ms {2}error 999: .*already exists/),
      expect.stringMatching(/^\S+Z {2}DEL +bridge +demo +4f1c0a7e2b9d3 +prod\/web +\d+\.\d ms {2}ok$/),
    ]);
    expect(lines(logs("--failed"))).toHaveLength(1);
    expect(lines(logs("--container", "4f1c", "-n", "2"))).toHaveLength(2);
    expect(logs("--container", "5")).toBe("");
    expect(logs("--json")).toBe(readFileSync(LOG, "utf8"));
  });

  it("says nothing where nothing was logged, and makes nothing", () => {
    expect(logs()).toBe("");
    expect(existsSync("/var/log/podlink")).toBe(false);
  });

  it("--follow shows calls as they are made, however the log is put aside, and ends with its reader", async () => {
    call("DEL");
    const child = spawn(join(bin, "podlink"), ["logs", "--follow"], { env: {}, cwd: "/", stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(child, "close");
    const reader = createInterface({ input: child.stdout });
    const seen: string[] = [];
    for await (const line of reader) {
      seen.push(line);
      if (seen.length === 1)
        for (const containerId of ["c2", "c3", "c4"]) call("DEL", { containerId, env: { PODLINK_LOG_SIZE: "1" } });
      if (seen.length === 4) break;
    }
    expect(seen.map((line) => line.split(/\s+/)[4])).toEqual(["4f1c0a7e2b9d3", "c2", "c3", "c4"]);
    child.stdout.destroy();
    call("DEL", { containerId: "c5" });
    expect(await ended).toEqual([0, null]);
  });
});
