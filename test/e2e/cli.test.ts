import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { plugins } from "../../src/plugins/index.ts";
import { bin, type Outcome, requireBuilt, run } from "../support/executable.ts";
import {
  freshNode,
  hideMachineState,
  ipJson,
  leases,
  makeSandbox,
  nameSandbox,
  nodeSnapshot,
  output,
  type Sandbox,
  temporaryDirectory,
  unnameSandbox,
} from "../support/node.ts";

// `podlink <command>` as a person types it, with the executable itself.

const conf = temporaryDirectory();
const demo = {
  cniVersion: "1.1.0",
  name: "demo",
  plugins: [
    {
      type: "bridge",
      bridge: "demo0",
      isDefaultGateway: true,
      ipam: { type: "host-local", ranges: [[{ subnet: "10.94.0.0/24" }]] },
    },
  ],
};

beforeAll(() => {
  requireBuilt();
  hideMachineState();
  writeFileSync(join(conf, "10-demo.conflist"), JSON.stringify(demo));
});
beforeEach(() => {
  freshNode();
});

const env = { NETCONFPATH: conf, CNI_PATH: bin };

function podlink(...parameters: string[]): Outcome {
  return run("podlink", parameters, { env });
}

function succeed(...parameters: string[]): string {
  const outcome = podlink(...parameters);
  expect(outcome, parameters.join(" ")).toMatchObject({ status: 0, stderr: "" });
  return outcome.stdout;
}

/** What a failed command said: nothing on stdout, a line for people and perhaps the way out on stderr. */
function fail(...parameters: string[]): string {
  const { status, stdout, stderr } = podlink(...parameters);
  expect({ status, stdout }, parameters.join(" ")).toEqual({ status: 1, stdout: "" });
  expect(stderr).toMatch(/^podlink: .*\[code \d+\]\n( {2}.*\n)?$/);
  return stderr;
}

/** A container known by name below /run/netns. */
function named(name: string): { sandbox: Sandbox; path: string; remove: () => void } {
  const sandbox = makeSandbox();
  const path = nameSandbox(sandbox, name);
  const remove = () => {
    if (existsSync(path)) unnameSandbox(path);
  };
  onTestFinished(remove);
  return { sandbox, path, remove };
}

interface ListRow {
  readonly network: string;
  readonly container: string;
  readonly interface: string;
  readonly addresses: readonly string[];
  readonly hostInterface: string;
  readonly attached: boolean;
}
const list = (): ListRow[] => JSON.parse(succeed("list", "--json"));

describe("podlink add, check, del", () => {
  it("attach a namespace by its name or its path, and detach it", () => {
    const { sandbox, path } = named("blue");
    succeed("add", "demo", path);
    succeed("del", "demo", "blue");
    const before = nodeSnapshot();
    const result = JSON.parse(succeed("add", "demo", "blue"));
    expect(result).toMatchObject({ cniVersion: "1.1.0", ips: [{ address: "10.94.0.3/24" }] });
    expect(sandbox.ping("10.94.0.1")).toBe(true);
    succeed("check", "demo", "blue");
    succeed("check", "demo", path);
    output("ip", "neighbour", "flush", "all");
    succeed("del", "demo", path);
    expect(nodeSnapshot()).toEqual(before);
    expect(sandbox.ipJson("link", "show")).toHaveLength(1);
  });

  it("add for the second time fails clearly, and the first stays whole", () => {
    const { sandbox } = named("blue");
    succeed("add", "demo", "blue");
    const before = [nodeSnapshot(), sandbox.snapshot()];
    expect(fail("add", "demo", "blue")).toMatch(/"eth0" already exists in the container, attached to network "demo"/);
    expect([nodeSnapshot(), sandbox.snapshot()]).toEqual(before);
    succeed("check", "demo", "blue");
    expect(sandbox.ping("10.94.0.1")).toBe(true);
  });

  it("del twice succeeds, also when the namespace is gone", () => {
    const { remove } = named("blue");
    succeed("add", "demo", "blue");
    succeed("del", "demo", "blue");
    succeed("del", "demo", "blue");
    succeed("add", "demo", "blue");
    remove();
    succeed("del", "demo", "blue");
    expect(leases()).toEqual([]);
    expect(list()).toEqual([]);
  });

  it("check says which address is missing", () => {
    const { sandbox } = named("blue");
    succeed("add", "demo", "blue");
    sandbox.ip("address", "del", "10.94.0.2/24", "dev", "eth0");
    expect(fail("check", "demo", "blue")).toMatch(/find address 10\.94\.0\.2\/24: "eth0" has/);
  });

  it("check says which port has left the bridge", () => {
    named("blue");
    succeed("add", "demo", "blue");
    const port = list()[0]?.hostInterface ?? "";
    output("ip", "link", "set", port, "nomaster");
    expect(fail("check", "demo", "blue")).toContain(`check port "${port}": its master is missing, expected "demo0"`);
  });

  it("check of what was never added says so", () => {
    named("blue");
    expect(fail("check", "demo", "blue")).toMatch(/never added.*\[code 3\]/);
  });

  it("take another interface name, and MAC and address from CNI_ARGS", () => {
    const { sandbox } = named("blue");
    const answer = run("podlink", ["add", "-i", "net7", "demo", "blue"], {
      env: { ...env, CNI_ARGS: "MAC=02:00:00:00:00:07;IP=10.94.0.77" },
    });
    expect(answer).toMatchObject({ status: 0, stderr: "" });
    expect(sandbox.ipJson("address", "show", "dev", "net7")).toMatchObject([{ address: "02:00:00:00:00:07" }]);
    expect(leases()).toEqual(["demo/10.94.0.77"]);
    succeed("check", "-i", "net7", "demo", "blue");
    succeed("del", "-i", "net7", "demo", "blue");
    expect(leases()).toEqual([]);
  });

  it("add that fails leaves nothing", () => {
    const { sandbox } = named("blue");
    output("ip", "link", "add", "demo0", "type", "veth", "peer", "name", "demo0p");
    const before = nodeSnapshot();
    expect(fail("add", "demo", "blue")).toContain('Cannot use "demo0" as a bridge');
    expect(nodeSnapshot()).toEqual(before);
    expect(sandbox.ipJson("link", "show")).toHaveLength(1);
    expect(existsSync("/var/lib/cni/results")).toBe(false);
  });

  it("explain also what went on beside it, in comments", () => {
    named("blue");
    const strange = { ...demo, plugins: demo.plugins.map((plugin) => ({ ...plugin, strange: true })) };
    const directory = "/run/strange";
    mkdirSync(directory);
    writeFileSync(join(directory, "10-strange.conflist"), JSON.stringify(strange));
    writeFileSync(join(directory, "20-broken.conflist"), "{");
    const { status, stderr } = run("podlink", ["add", "--explain", "demo", "blue"], { env: { ...env, NETCONFPATH: directory } });
    expect(status).toBe(0);
    expect(stderr).toMatch(/^# podlink: bridge: .*ignoring unknown key "strange"$/m);
    expect(stderr).not.toMatch(/^podlink/m);
  });

  it("explain what they do as commands, by which a shell builds the same on another node, and takes it away again", () => {
    const script = (outcome: Outcome) => {
      expect(outcome.status).toBe(0);
      for (const line of outcome.stderr.trimEnd().split("\n")) expect(line).toMatch(/ {2}# \d+\.\d\d ms$/);
      return outcome.stderr;
    };
    const snapshot = (container: Sandbox) => [nodeSnapshot(), container.snapshot()];
    const first = named("blue");
    const add = script(podlink("add", "--explain", "demo", "blue"));
    const added = snapshot(first.sandbox);
    const del = script(podlink("del", "--explain", "demo", "blue"));
    const deleted = snapshot(first.sandbox);
    expect(add).toMatch(/^ip link add demo0 .*type bridge/m);
    expect(add).toMatch(/^nsenter --net=\/run\/netns\/blue ip address add 10\.94\.0\.2\/24/m);

    first.remove();
    freshNode();
    const { sandbox } = named("blue");
    output("sh", "-ec", add);
    expect(snapshot(sandbox)).toEqual(added);
    expect(sandbox.ping("10.94.0.1")).toBe(true);
    output("ip", "neighbour", "flush", "all");
    output("sh", "-ec", del);
    expect(snapshot(sandbox)).toEqual(deleted);
  });

  it.each([
    ["an unknown network", ["add", "nowhere", "blue"], 'Cannot find network "nowhere"'],
    ["a namespace that is not there", ["add", "demo", "red"], "is not a network namespace"],
    ["the node's own namespace", ["add", "demo", "/proc/self/ns/net"], "[code 8]"],
  ])("refuse %s", (_title, parameters, text) => {
    named("blue");
    const before = nodeSnapshot();
    expect(fail(...parameters)).toContain(text);
    expect(nodeSnapshot()).toEqual(before);
  });
});

describe("podlink gc", () => {
  it("removes attachments whose namespace is gone, and keeps the others", () => {
    const [blue, red] = [named("blue"), named("red")];
    succeed("add", "demo", "blue");
    succeed("add", "demo", "red");
    red.remove();
    writeFileSync("/var/lib/cni/networks/demo/10.94.0.200", "nobody\r\neth0");
    succeed("gc", "demo");
    expect(leases()).toEqual(["demo/10.94.0.2"]);
    expect(ipJson("link", "show", "type", "veth")).toHaveLength(1);
    succeed("check", "demo", "blue");
    expect(blue.sandbox.ping("10.94.0.1")).toBe(true);
  });

  it("--all detaches everything that is remembered", () => {
    const { sandbox } = named("blue");
    succeed("add", "demo", "blue");
    const { status } = podlink("gc", "--all", "demo");
    expect(status).toBe(0);
    expect(leases()).toEqual([]);
    expect(sandbox.ipJson("link", "show")).toHaveLength(1);
    expect(list()).toEqual([]);
  });
});

describe("podlink list", () => {
  it("shows attachments and lonely leases as a table and as JSON", () => {
    named("blue");
    succeed("add", "demo", "blue");
    writeFileSync("/var/lib/cni/networks/demo/10.94.0.200", "nobody\r\neth9");
    const [first, second, ...more] = list();
    expect(more).toEqual([]);
    expect(first).toMatchObject({ network: "demo", interface: "eth0", addresses: ["10.94.0.2/24"], attached: true });
    expect(first?.hostInterface).toBe(ipJson<{ ifname: string }>("link", "show", "type", "veth")[0]?.ifname);
    expect(second).toMatchObject({ container: "nobody", interface: "eth9", addresses: ["10.94.0.200"], attached: false });
    const lines = succeed("list").trimEnd().split("\n");
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatch(/^NETWORK +CONTAINER +INTERFACE +ADDRESSES +HOST INTERFACE +AGE$/);
    expect(lines[1]).toMatch(new RegExp(`^demo +${first?.container} +eth0 +10\\.94\\.0\\.2/24 +${first?.hostInterface} +\\d+s$`));
    expect(lines[2]).toContain("(nobody)");
  });

  it("shows nothing where there is nothing, and makes nothing", () => {
    expect(list()).toEqual([]);
    expect(existsSync("/var/lib/cni")).toBe(false);
  });
});

describe("podlink status, version, help", () => {
  it("status is silent when the network can serve, and says why it cannot", () => {
    expect(succeed("status", "demo")).toBe("");
    output("ip", "link", "add", "demo0", "type", "veth", "peer", "name", "demo0p");
    expect(fail("status", "demo")).toMatch(/"demo0".*\[code 50\]/);
  });

  it("version names the plugin types", () =>
    expect(succeed("version")).toContain(`\nplugins: ${Object.keys(plugins).sort().join(", ")}\n`));

  it("help lists the commands, and an unknown one points to it", () => {
    for (const command of ["add", "del", "check", "gc", "status", "list", "logs", "install", "uninstall"])
      expect(succeed("help")).toContain(`  ${command}`);
    expect(podlink("attach")).toMatchObject({ status: 2, stdout: "", stderr: expect.stringContaining("podlink help") });
    expect(podlink("add", "demo")).toMatchObject({ status: 2, stdout: "" });
  });
});

describe("surroundings", () => {
  const hostile = {
    NODE_OPTIONS: "--require /nowhere.js --no-such-option",
    NODE_V8_COVERAGE: "/run/coverage",
    NODE_EXTRA_CA_CERTS: "/nowhere",
    NODE_PENDING_DEPRECATION: "1",
    LD_PRELOAD: "",
    TMPDIR: "/nowhere",
    HOME: "/nowhere",
  };

  it("hostile variables change nothing of what is said and done", () => {
    named("blue");
    const add = run("podlink", ["add", "demo", "blue"], { env: { ...env, ...hostile } });
    expect(add).toMatchObject({ status: 0, stderr: "" });
    expect(JSON.parse(add.stdout)).toHaveProperty("ips");
    expect(run("podlink", ["del", "demo", "blue"], { env: { ...env, ...hostile } })).toEqual({
      status: 0,
      stdout: "",
      stderr: "",
    });
    expect(existsSync("/run/coverage")).toBe(false);
  });

  it("what Node is asked to tell of itself stays off stdout", () => {
    named("blue");
    const add = run("podlink", ["add", "demo", "blue"], { env: { ...env, NODE_DEBUG: "fs,net,module" } });
    expect(add.status).toBe(0);
    expect(JSON.parse(add.stdout)).toHaveProperty("ips");
  });

  it("each call is one line in the log, with its changes, and a failed one with its error", () => {
    named("blue");
    rmSync("/var/log/podlink", { recursive: true, force: true });
    succeed("add", "demo", "blue");
    fail("add", "demo", "blue");
    succeed("del", "demo", "blue");
    const lines = readFileSync("/var/log/podlink/podlink.log", "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const bridge = lines.filter(({ type }) => type === "bridge");
    expect(bridge.map(({ command }) => command)).toEqual(["ADD", "ADD", "DEL"]);
    expect(bridge[0]).toMatchObject({
      network: "demo",
      ifname: "eth0",
      steps: expect.arrayContaining([expect.objectContaining({ ms: expect.any(Number) })]),
    });
    expect(bridge[1]).toMatchObject({ error: { code: 999, msg: expect.stringContaining("already exists") } });
  });

  it("a log that cannot be written is nobody's business", () => {
    named("blue");
    mkdirSync("/var/log/podlink-is-a-directory");
    const answer = run("podlink", ["add", "demo", "blue"], { env: { ...env, PODLINK_LOG: "/var/log/podlink-is-a-directory" } });
    expect(answer).toMatchObject({ status: 0, stderr: "" });
    expect(readdirSync("/var/log/podlink-is-a-directory")).toEqual([]);
  });
});
