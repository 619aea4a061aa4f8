import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Bench } from "../support/attach.ts";
import type { Json } from "../support/call-plugin.ts";
import { callProcess } from "../support/implementation.ts";
import { ipJson, leases, makeSandbox, output, temporaryDirectory } from "../support/node.ts";
import { lacking, pluginDirectory } from "../support/reference.ts";

// What the reference attached before podlink was installed, and podlink detaches: its link, its leases and its rules in nf_tables go, its
// rules in iptables are named with the command that removes them.

const bench = new Bench();
const directory = temporaryDirectory();

const v4 = [{ subnet: "10.1.2.0/24" }];
const bridge = {
  type: "bridge",
  bridge: "br0",
  isDefaultGateway: true,
  ipMasq: true,
  ipam: { type: "host-local", ranges: [v4, [{ subnet: "fd01::/64" }]] },
};
/** With IPv6 the reference waits for two seconds. */
const ptp = { type: "ptp", ipMasq: true, ipam: { type: "host-local", ranges: [v4] } };

/** Two containers' ports, of protocols that the reference has rules of their own for. */
const ports = { goes: 8080, stays: 8081 } as const;
type Container = keyof typeof ports;

/** Each `iptables` of a node is one of these. */
const backends = ["nft", "legacy"].map((backend) => ({ backend, needed: tools(backend).filter((tool) => !works(tool)) }));

function tools(backend: string): string[] {
  return [`iptables-${backend}`, `ip6tables-${backend}`];
}

function works(tool: string): boolean {
  return spawnSync("unshare", ["-n", tool, "-t", "nat", "-S"]).status === 0;
}

/** A directory in which iptables is that of the backend. */
function programs(backend: string): string {
  const path = join(directory, backend);
  mkdirSync(path, { recursive: true });
  for (const tool of ["iptables", "ip6tables"]) {
    for (const part of ["", "-save", "-restore"]) {
      const link = join(path, `${tool}${part}`);
      if (!existsSync(link)) symlinkSync(`/usr/sbin/${tool}-${backend}${part}`, link);
    }
  }
  return `${path}:${process.env.PATH}`;
}

/** All that iptables of a backend has, with a word for what changes by itself. */
function rules(backend: string): string[] {
  return tools(backend)
    .flatMap((tool) => output(`${tool}-save`).split("\n"))
    .map((line) => line.replace(/ \[\d+:\d+\]$/, ""))
    .filter((line) => line !== "" && !line.startsWith("#"));
}

interface Attached {
  readonly id: Container;
  readonly netns: string;
  /** The configurations of the chain, in order, with the result of the ADD. */
  readonly chain: readonly (Json & { type: string })[];
  readonly addresses: readonly string[];
}

describe.each(["1.9.1", "1.1.1"] as const)("what the reference %s attached", (version) => {
  const path = pluginDirectory(version);
  const missing = lacking(path);

  describe.skipIf(missing !== "")(`and podlink detaches${missing}`, () => {
    /** What a runtime that had the reference does. */
    function attach(id: Container, chain: readonly (Json & { type: string })[], more: { programs: string }): Attached {
      const netns = makeSandbox().path;
      const runtimeConfig = {
        portMappings: ["tcp", "udp"].map((protocol) => ({ hostPort: ports[id], containerPort: 80, protocol })),
      };
      const configs = chain.map((plugin) => ({ cniVersion: "1.0.0", name: "net1", runtimeConfig, ...plugin }));
      let prevResult: Json | undefined;
      for (const config of configs) {
        const stdin = prevResult === undefined ? config : { ...config, prevResult };
        const added = callProcess(
          { name: "", path },
          { type: config.type, command: "ADD", config: stdin, containerId: id, netns, ...more },
        );
        expect(added, config.type).toMatchObject({ exitCode: 0 });
        prevResult = added.output;
      }
      const ips = (prevResult as { ips: { address: string }[] }).ips;
      return {
        id,
        netns,
        chain: configs.map((config) => ({ ...config, prevResult })),
        addresses: ips.map(({ address }) => address.split("/")[0] ?? ""),
      };
    }

    /** What a runtime that has podlink does. @returns what the plugins said, and the commands in it */
    function detach({ chain, id, netns }: Attached): { said: string; commands: string[] } {
      const said = chain
        .toReversed()
        .map((config) => bench.caller.succeed({ type: config.type, command: "DEL", config, containerId: id, netns }).stderr)
        .join("");
      return { said, commands: [...said.matchAll(/; to remove them: (.*)/g)].map(([, command]) => command ?? "") };
    }

    /** Lines of a ruleset that are a container's. */
    function own({ addresses, id }: Attached, lines: readonly string[]): string[] {
      const chains = lines.flatMap((line) =>
        line.includes(`id: \\"${id}\\"`) ? (/-j (CNI-\w[\w-]+)/.exec(line)?.[1] ?? []) : [],
      );
      const words = [...chains, ...addresses.map((address) => `${address}/`), ...addresses.map((address) => `${address}]:`)];
      return lines.filter((line) => words.some((word) => line.includes(word)));
    }

    describe.each([
      { upper: bridge, families: 2 },
      { upper: ptp, families: 1 },
    ])("of type $upper.type", ({ upper, families }) => {
      describe.each(backends)("with iptables-$backend", ({ backend, needed }) => {
        const isNft = backend === "nft";
        const needs = needed.length === 0 ? "" : ` (needs ${needed.join(" and ")} and its tables in the kernel)`;

        it.skipIf(needs !== "")(`its rules are named, with commands that remove them and nobody else's${needs}`, () => {
          const chain = [upper, { type: "portmap", backend: "iptables" }, { type: "firewall", backend: "iptables" }];
          const where = { programs: programs(backend) };
          const [stays, goes] = [attach("stays", chain, where), attach("goes", chain, where)];
          const others = own(stays, rules(backend));
          const links = () => ipJson("link", "show").filter(({ ifname }) => String(ifname).startsWith("veth"));
          expect(own(goes, rules(backend)).length).toBeGreaterThan(9 * families);
          expect(links()).toHaveLength(2);

          const { said, commands } = detach(goes);
          expect(links()).toHaveLength(1);
          expect(leases()).toEqual(stays.addresses.map((address) => `net1/${address}`).sort());
          // A chain for masquerading, one for ports, and the firewall's, which has no name in it where only iptables-legacy can look
          expect(commands).toHaveLength((isNft ? 3 : 2) * families);
          for (const tool of tools(backend).slice(0, families)) expect(said).toContain(`of ${tool}, table nat`);
          expect(detach({ ...goes, netns: "" }).commands).toEqual(commands); // nobody has removed them yet
          for (const command of commands) output("sh", "-ec", command);
          const rest = own(goes, rules(backend));
          expect(isNft ? rest : rest.filter((line) => !line.startsWith("-A CNI-FORWARD "))).toEqual([]);
          expect(own(stays, rules(backend))).toEqual(others);
          expect(detach(goes).said).toBe("");
        });
      });

      if (version !== "1.1.1")
        it("with nf_tables: all of it goes", () => {
          const chain = [
            { ...upper, ipMasqBackend: "nftables" },
            { type: "portmap", backend: "nftables" },
          ];
          const where = { programs: process.env.PATH ?? "" };
          const [stays, goes] = [attach("stays", chain, where), attach("goes", chain, where)];
          const ruleset = () => output("nft", "--stateless", "list", "ruleset").split("\n");
          const of = ({ addresses, id }: Attached) =>
            ruleset().filter((line) => [...addresses, id].some((word) => line.includes(word)));
          const others = of(stays);
          expect(of(goes).length).toBeGreaterThan(4 * families);
          expect(detach(goes).said).toBe("");
          expect(of(goes)).toEqual([]);
          expect(of(stays)).toEqual(others);
          expect(leases()).toEqual(stays.addresses.map((address) => `net1/${address}`).sort());
        });
    });

    it("and of what podlink attached itself nothing is named, whatever iptables has", () => {
      attach("stays", [bridge], { programs: programs("nft") });
      const attached = bench.attach({ cniVersion: "1.0.0", name: "net1", ...bridge }, { containerId: "goes" });
      expect(bench.caller.succeed({ ...attached.who, command: "DEL" }).stderr).toBe("");
    });
  });
});

describe("where another host-local comes first on CNI_PATH, as with Debian's containerd", () => {
  const path = pluginDirectory("1.1.1"); // which has versions up to 1.0.0 only
  const missing = lacking(path);
  const call = (type: string, command: string, netns: string) => ({
    type,
    command,
    config: { cniVersion: "1.1.0", name: "net1", type, ipam: bridge.ipam },
    netns,
    env: { CNI_PATH: `${path}:${bench.caller.path}` },
  });

  it.skipIf(missing !== "")(`type podlink has its own, type bridge that one${missing}`, () => {
    const sandbox = makeSandbox();
    for (const command of ["ADD", "STATUS", "DEL"]) bench.caller.succeed(call("podlink", command, sandbox.path));
    expect(leases()).toEqual([]);
    const { code, msg } = bench.caller.fail(call("bridge", "ADD", sandbox.path));
    expect({ code, msg }).toEqual({ code: 1, msg: "incompatible CNI versions" });
  });
});
