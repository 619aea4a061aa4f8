import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { root } from "../../scripts/lib/paths.ts";
import { bin, requireBuilt } from "../support/executable.ts";
import {
  files,
  freshNode,
  hideMachineState,
  leases,
  makeSandbox,
  nameSandbox,
  nodeSnapshot,
  type Sandbox,
  temporaryDirectory,
  unnameSandbox,
} from "../support/node.ts";
import { makeOutside, type Outside } from "../support/outside.ts";
import { cnitoolProgram, lacking, pluginDirectory } from "../support/reference.ts";
import { ask, serve } from "../support/talk.ts";

// Whole chains through libcni: the network podlink comes with, and chains in which each plugin is the reference's or podlink's.

const directory = temporaryDirectory();
const reference = pluginDirectory("1.9.1");
const homes = { podlink: bin, reference } as const;
type Origin = keyof typeof homes;

const HOST_PORT = 8081;
const everyone = ["podlink", "reference"] as const;
const combinations = everyone.flatMap((bridge) =>
  everyone.flatMap((hostLocal) => everyone.map((portmap) => ({ bridge, hostLocal, portmap }))),
);

/** A directory with these plugins and no others. */
function gather(plugins: Readonly<Record<string, Origin>>): string {
  const path = join(directory, Object.values(plugins).join("-"));
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path);
  for (const [type, origin] of Object.entries(plugins)) symlinkSync(join(homes[origin], type), join(path, type));
  return path;
}

describe.each([
  { version: "1.3.0", newest: "1.1.0" },
  { version: "1.1.2", newest: "1.0.0" },
] as const)("cnitool $version", ({ version, newest }) => {
  const program = cnitoolProgram(version);
  const missing = lacking(program, reference);

  describe.skipIf(missing !== "")(`with whole chains${missing}`, () => {
    let outside: Outside;

    beforeAll(() => {
      requireBuilt();
      hideMachineState();
    });
    beforeEach(() => {
      freshNode();
      outside = makeOutside();
    });

    /** Calls cnitool for a container, and answers what it printed. */
    function call(verb: string, { path, plugins, ports = true }: { path: string; plugins: string; ports?: boolean }): string {
      const env = {
        PATH: process.env.PATH ?? "",
        NETCONFPATH: directory,
        CNI_PATH: plugins,
        ...(ports
          ? { CAP_ARGS: JSON.stringify({ portMappings: [{ hostPort: HOST_PORT, containerPort: 80, protocol: "tcp" }] }) }
          : {}),
      };
      const { status, stdout, stderr } = spawnSync(program, [verb, "chain", path], { env, encoding: "utf8" });
      expect(status, `${verb}: ${stderr}`).toBe(0);
      return stdout;
    }

    function writeChain(plugins: readonly unknown[], more: Readonly<Record<string, unknown>> = {}): void {
      writeFileSync(join(directory, "chain.conflist"), JSON.stringify({ cniVersion: newest, ...more, name: "chain", plugins }));
    }

    function makeNamed(name: string): { sandbox: Sandbox; path: string } {
      const sandbox = makeSandbox();
      const path = nameSandbox(sandbox, name);
      onTestFinished(() => unnameSandbox(path));
      return { sandbox, path };
    }

    /** Two containers, of which the first is reached by the host port: what works while they are there, and what is left afterwards. */
    async function live(plugins: string): Promise<void> {
      const [one, two] = [makeNamed("one"), makeNamed("two")];
      const add = ({ path }: { path: string }, ports: boolean): string[] => {
        const { ips } = JSON.parse(call("add", { path, plugins, ports }));
        return ips.map(({ address }: { address: string }) => address.replace(/\/.*/, ""));
      };
      // The network's own things come with the first container, and stay
      add(one, true);
      call("del", { path: one.path, plugins });
      const before = { node: nodeSnapshot(), results: files("/var/lib/cni/results") };
      expect(before.results).toEqual([]);

      const addresses = { one: add(one, true), two: add(two, false) };
      for (const address of [...addresses.two, outside.v4]) expect(one.sandbox.ping(address), address).toBe(true);
      for (const address of addresses.one) expect(two.sandbox.ping(address), address).toBe(true);
      await serve(one.sandbox.run.bind(one.sandbox), { protocol: "tcp", address: "0.0.0.0", port: 80, name: "one" });
      const asked = () =>
        ask(outside.sandbox.run.bind(outside.sandbox), { protocol: "tcp", address: outside.node.v4, port: HOST_PORT });
      expect(asked()).toBe(`one ${outside.v4}`);
      call("check", { path: one.path, plugins });
      call("check", { path: two.path, plugins, ports: false });
      if (newest === "1.1.0") call("status", { path: one.path, plugins });

      call("del", { path: one.path, plugins });
      call("del", { path: one.path, plugins });
      expect(asked()).toBeUndefined();
      call("del", { path: two.path, plugins, ports: false });
      expect(leases()).toEqual([]);
      expect({ node: nodeSnapshot(), results: files("/var/lib/cni/results") }).toEqual(before);
    }

    it("the network podlink comes with", async () => {
      const { plugins, ...more } = JSON.parse(readFileSync(join(root, "conf/10-podlink.conflist"), "utf8"));
      writeChain(plugins, newest === "1.1.0" ? more : {});
      await live(bin);
    });

    it.each(combinations)(
      "bridge of $bridge, host-local of $hostLocal, portmap of $portmap",
      async ({ bridge, hostLocal, portmap }) => {
        const ranges = [[{ subnet: "10.1.2.0/24" }], [{ subnet: "fd01::/64" }]];
        writeChain([
          { type: "bridge", bridge: "br0", isDefaultGateway: true, hairpinMode: true, ipam: { type: "host-local", ranges } },
          { type: "portmap", backend: "nftables", capabilities: { portMappings: true } },
        ]);
        await live(gather({ bridge, "host-local": hostLocal, portmap }));
      },
    );
  });
});
