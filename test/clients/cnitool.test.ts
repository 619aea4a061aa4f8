import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import type { Json } from "../support/call-plugin.ts";
import { networkState, podlink, steady } from "../support/implementation.ts";
import {
  freshNode,
  hideMachineState,
  leases,
  makeSandbox,
  nameSandbox,
  type Sandbox,
  temporaryDirectory,
  unnameSandbox,
} from "../support/node.ts";
import { cnitoolProgram, lacking } from "../support/reference.ts";

// cnitool is libcni with a command line: what it does with our plugins is what containerd, CRI-O and podman do. And podlink's own
// command line promises to be exchangeable with it.

const networks = temporaryDirectory();
const results = "/var/lib/cni/results";
const ours = join(podlink.path, "podlink");

interface Tool {
  readonly name: string;
  readonly program: string;
}

/** Runs a tool as a person does; `env` beside where configurations and plugins are. */
function run({ program }: Tool, argv: readonly string[], env: Record<string, string> = {}) {
  const variables = { PATH: process.env.PATH ?? "", NETCONFPATH: networks, CNI_PATH: podlink.path, ...env };
  const { status, stdout, stderr, error } = spawnSync(program, argv, { env: variables, encoding: "utf8" });
  if (error !== undefined) throw error;
  return { status, stdout, stderr };
}

const done = { status: 0, stderr: "" };

const ranges = [[{ subnet: "10.1.2.0/24" }], [{ subnet: "fd01::/64" }]];

function writeNetworks(newest: string): void {
  const capabilities = { ips: true, mac: true };
  const plugin = {
    type: "bridge",
    bridge: "br0",
    isDefaultGateway: true,
    capabilities,
    dns: { nameservers: ["10.1.2.1"] },
    ipam: { type: "host-local", ranges },
  };
  const write = (name: string, json: Json) => writeFileSync(join(networks, name), JSON.stringify(json, null, 2));
  const versions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"].filter((version) => version <= newest);
  for (const cniVersion of versions)
    write(`${cniVersion}.conflist`, { cniVersion, name: `net-${cniVersion}`, plugins: [plugin] });
  write("net1.conflist", { cniVersion: newest, name: "net1", plugins: [plugin, { type: "loopback" }] });
  write("single.conf", { cniVersion: newest, name: "single", ...plugin });
  const tiny = { type: "host-local", ranges: [[{ subnet: "10.1.2.0/30" }]] };
  write("tiny.conflist", { cniVersion: newest, name: "tiny", plugins: [{ type: "bridge", bridge: "br0", ipam: tiny }] });
}

/** A container's namespace by a name, as `ip netns add` makes it. */
function makeNamed(name = "blue"): { sandbox: Sandbox; path: string } {
  const sandbox = makeSandbox();
  const path = nameSandbox(sandbox, name);
  onTestFinished(() => unnameSandbox(path));
  return { sandbox, path };
}

/** MAC addresses are drawn, and two tools draw two. */
function withoutMacs(text: string): string {
  return text.replaceAll(/([0-9a-f]{2}:){5}[0-9a-f]{2}/g, "MAC");
}

function cachedFiles(): { name: string; mode: string; json: Json }[] {
  return readdirSync(results).map((name) => {
    const file = join(results, name);
    return { name, mode: (statSync(file).mode & 0o777).toString(8), json: JSON.parse(withoutMacs(readFileSync(file, "utf8"))) };
  });
}

/** libcni before 1.2 knew no order of keys, no MTU of an interface, and did not remember the namespace. */
function asRead(observed: { readonly stdout: string } | undefined): unknown {
  const all = { ...observed, stdout: JSON.parse(observed?.stdout ?? "") };
  return JSON.parse(JSON.stringify(all), (key, value: unknown) => (key === "mtu" || key === "netns" ? undefined : value));
}

function nothingLeft({ sandbox }: { sandbox: Sandbox }): void {
  expect(sandbox.ipJson("link", "show").map(({ ifname }) => ifname)).toEqual(["lo"]);
  expect(leases()).toEqual([]);
  expect(readdirSync(results)).toEqual([]);
}

describe.each([
  { version: "1.3.0", newest: "1.1.0" },
  { version: "1.1.2", newest: "1.0.0" },
] as const)("cnitool $version", ({ version, newest }) => {
  const program = cnitoolProgram(version);
  const missing = lacking(program);
  const cnitool: Tool = { name: "cnitool", program };
  const person: Tool = { name: "podlink", program: ours };
  const both = [
    { adder: cnitool, other: person },
    { adder: person, other: cnitool },
    { adder: cnitool, other: cnitool },
  ];

  describe.skipIf(missing !== "")(`with podlink's plugins${missing}`, () => {
    beforeAll(() => {
      hideMachineState();
      rmSync(networks, { recursive: true });
      mkdirSync(networks);
      writeNetworks(newest);
    });
    beforeEach(freshNode);

    it.each(both)("what $adder.name adds $other.name checks and deletes, and twice", ({ adder, other }) => {
      const { sandbox, path } = makeNamed();
      run(adder, ["add", "net1", path]);
      run(adder, ["del", "net1", path]);
      const before = steady(networkState());
      const added = run(adder, ["add", "net1", path]);
      expect(added).toMatchObject(done);
      expect(sandbox.ping("10.1.2.1")).toBe(true);
      expect(sandbox.ping("fd01::1")).toBe(true);
      expect(run(other, ["check", "net1", path])).toEqual({ ...done, stdout: "" });
      expect(run(other, ["del", "net1", path])).toEqual({ ...done, stdout: "" });
      nothingLeft({ sandbox });
      expect(run(other, ["del", "net1", path])).toEqual({ ...done, stdout: "" });
      expect(steady(networkState())).toEqual(before);
    });

    it.each(both)("what $adder.name adds in a namespace that is gone $other.name deletes", ({ adder, other }) => {
      const sandbox = makeSandbox();
      const path = nameSandbox(sandbox, "gone");
      expect(run(adder, ["add", "net1", path])).toMatchObject(done);
      unnameSandbox(path);
      expect(run(other, ["del", "net1", path])).toEqual({ ...done, stdout: "" });
      nothingLeft({ sandbox });
    });

    it.each(both)("the damage to what $adder.name added $other.name finds", ({ adder, other }) => {
      const { sandbox, path } = makeNamed();
      expect(run(adder, ["add", "net1", path])).toMatchObject(done);
      sandbox.ip("address", "del", "10.1.2.2/24", "dev", "eth0");
      const { status, stderr } = run(other, ["check", "net1", path]);
      expect(status).toBe(1);
      expect(stderr).toContain('Cannot find address 10.1.2.2/24: "eth0" has fd01::2/64');
    });

    it("is told as much as podlink's own user", () => {
      const { path } = makeNamed();
      expect(run(cnitool, ["add", "net1", path])).toMatchObject(done);
      const again = run(cnitool, ["add", "net1", path]);
      expect(again.status).toBe(1);
      expect(again.stderr).toContain('plugin type="bridge" failed (add): ');
      expect(again.stderr).toContain('"eth0"');
      expect(run(person, ["add", "net1", path]).stderr).toContain(
        again.stderr
          .trim()
          .replace(/^.*failed \(add\): /, "")
          .replace(/;.*/s, ""),
      );
    });

    const versions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"].filter((each) => each <= newest);
    it.each(versions)("prints and remembers in version %s what podlink does", (cniVersion) => {
      const [theirs, own] = [cnitool, person].map((tool) => {
        freshNode();
        const sandbox = makeSandbox();
        const path = nameSandbox(sandbox, "blue"); // the container's ID follows from it
        const env = {
          CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAME=p;IP=10.1.2.77",
          CAP_ARGS: '{"ips":["fd01::77/64"],"mac":"c2:11:22:33:44:55","x":1}',
          CNI_IFNAME: "net7",
        };
        const { status, stdout } = run(tool, ["add", `net-${cniVersion}`, path], env);
        unnameSandbox(path);
        return { status, stdout: withoutMacs(stdout), cached: cachedFiles(), directory: statSync(results).mode };
      });
      expect(theirs?.status).toBe(0);
      expect(theirs?.cached).toMatchObject([
        { name: expect.stringMatching(/^net-[0-9.]+-cnitool-[0-9a-f]{20}-net7$/), mode: "600" },
      ]);
      if (version === "1.1.2") expect(asRead(own)).toEqual(asRead(theirs));
      else expect({ ...own, stdout: own?.stdout.trimEnd() }).toEqual(theirs);
    });

    it.each(both)("a network in a file of one plugin: $adder.name adds, $other.name deletes", ({ adder, other }) => {
      const { sandbox, path } = makeNamed();
      expect(run(adder, ["add", "single", path])).toMatchObject(done);
      expect(run(other, ["del", "single", path])).toEqual({ ...done, stdout: "" });
      nothingLeft({ sandbox });
    });

    it("shows in podlink's list what it added", () => {
      const { path } = makeNamed();
      expect(run(cnitool, ["add", "net1", path])).toMatchObject(done);
      const { stdout } = run(person, ["list", "--json"]);
      expect(JSON.parse(stdout)).toMatchObject([
        { network: "net1", interface: "eth0", addresses: ["10.1.2.2/24", "fd01::2/64"], attached: true },
      ]);
    });

    // these verbs came with libcni 1.2
    if (newest === "1.1.0") {
      it("gc takes everything away, as podlink's gc --all does", () => {
        for (const argv of [
          ["gc", "net1"],
          ["gc", "--all", "net1"],
        ]) {
          freshNode();
          const tool = argv.includes("--all") ? person : cnitool;
          const { sandbox, path } = makeNamed(tool.name);
          expect(run(person, ["add", "net1", path])).toMatchObject(done);
          expect(run(tool, [...argv, path])).toMatchObject({ status: 0, stdout: "" });
          nothingLeft({ sandbox });
        }
      });

      it("status is silent while addresses are left, and fails with the plugin's words when none are", () => {
        const { path } = makeNamed();
        for (const tool of [cnitool, person]) expect(run(tool, ["status", "tiny", path])).toEqual({ ...done, stdout: "" });
        expect(run(cnitool, ["add", "tiny", path])).toMatchObject(done);
        for (const tool of [cnitool, person]) {
          const { status, stderr } = run(tool, ["status", "tiny", path]);
          expect(status, tool.name).toBe(1);
          expect(stderr).toContain("no IP addresses available in range set");
        }
      });
    }
  });
});
