import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { root } from "../../scripts/lib/paths.ts";
import { plugins } from "../../src/plugins/index.ts";
import type { Json } from "../support/call-plugin.ts";
import { conflists, exampleOf, readConflist, siteOf, typesIn } from "../support/examples.ts";
import { bin, requireBuilt } from "../support/executable.ts";
import { type KernelFeature, needs, supports } from "../support/kernel-features.ts";
import { freshNode, hideMachineState, makeSandbox, output, temporaryDirectory } from "../support/node.ts";

// What runs when podlink is called: its own process, and no program beside it but an IPAM plugin that is somebody else's.

const missing = spawnSync("strace", ["--version"]).error === undefined ? "" : " (needs the package strace)";
const directory = temporaryDirectory();

/** The networks of conf/, each with the first plugin of its chain, and what it takes of the kernel. */
const chains = conflists().map((file) => {
  const { name, plugins: chain } = readConflist(file);
  const [first = { type: "" }] = chain;
  const site = siteOf(typesIn(chain));
  const inVlans = chain.some((plugin) => "vlan" in plugin || "vlanTrunk" in plugin);
  const features: KernelFeature[] = [...site.needs, ...(inVlans && first.type === "bridge" ? (["bridge-vlans"] as const) : [])];
  const delegate = typeof first.ipam?.type === "string" ? first.ipam.type : "";
  return { file, type: first.type, delegate, config: { ...first, name }, arrange: site.arrange, features };
});

const firstWith = (type: string): string | undefined => chains.find((chain) => chain.type === type)?.file;

beforeAll(() => {
  requireBuilt();
  hideMachineState();
});
beforeEach(freshNode);

interface Traced {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Every program that was started, or tried to be, as strace tells it; the called one is the first. */
  readonly programs: readonly string[];
}

/** Calls the executable by the name of a type, with an eye on every process that comes of it. */
function trace(program: string, options: { env: Readonly<Record<string, string>>; words?: string[]; input?: Json }): Traced {
  const { env, words = [], input = {} } = options;
  const log = join(directory, "trace");
  const watch = ["-f", "--seccomp-bpf", "-qq", "-e", "trace=execve,execveat", "-e", "signal=none", "-o", log];
  // strace finds programs and keeps its own environment; the call has the one given and no other
  const variables = Object.entries(env).flatMap(([name, value]) => ["-E", `${name}=${value}`]);
  const { status, stdout, stderr } = spawnSync("strace", [...watch, ...variables, join(bin, program), ...words], {
    env: {},
    input: JSON.stringify(input),
    encoding: "utf8",
    cwd: "/",
  });
  const programs = readFileSync(log, "utf8").match(/\bexecve(at)?\(.*/g) ?? [];
  expect(programs[0], stderr).toContain(join(bin, program));
  return { status, stdout, stderr, programs: programs.slice(1) };
}

/** Where one attachment's calls go, and what they are made with. */
interface Subject {
  readonly type: string;
  readonly config: Json & { readonly name: string };
  readonly cniPath?: string;
  readonly netns: string;
  /** What the runtime adds to the configuration. */
  readonly handed?: Json;
}

function call(command: string, subject: Subject, more: Json = {}): Traced {
  const { type, config, cniPath = bin, netns, handed = {} } = subject;
  const who = { CNI_CONTAINERID: "cid-1", CNI_NETNS: netns, CNI_IFNAME: "eth0" };
  const env = {
    CNI_COMMAND: command,
    CNI_PATH: cniPath,
    ...(["ADD", "CHECK", "DEL"].includes(command) ? who : {}),
  };
  return trace(type, { env, input: { ...config, cniVersion: "1.1.0", type, ...handed, ...more } });
}

/** Every verb in the order of an attachment's life, ADD and DEL for the second time too. @returns programs by verb */
function live(subject: Subject, previous: Json = {}): Record<string, readonly string[]> {
  const programs: Record<string, readonly string[]> = {};
  const run = (command: string, more: Json = {}, title = command): Traced => {
    const traced = call(command, subject, more);
    programs[title] = traced.programs;
    return traced;
  };
  const succeed = (...parameters: Parameters<typeof run>): Traced => {
    const traced = run(...parameters);
    expect(traced, parameters[2] ?? parameters[0]).toMatchObject({ status: 0 });
    return traced;
  };
  succeed("VERSION");
  succeed("STATUS");
  const prevResult = JSON.parse(succeed("ADD", previous).stdout);
  succeed("CHECK", { prevResult });
  run("ADD", previous, "ADD again"); // fails, and rolls back, where it would be a second one
  succeed("DEL", { prevResult });
  succeed("DEL", {}, "DEL again");
  succeed("ADD", previous, "ADD anew");
  succeed("GC", { "cni.dev/valid-attachments": [] });
  return programs;
}

const nothing = (verbs: Readonly<Record<string, readonly string[]>>) =>
  Object.fromEntries(Object.keys(verbs).map((verb) => [verb, []]));

describe.skipIf(missing !== "")(`a call of type${missing}`, () => {
  for (const type of Object.keys(plugins)) {
    const features = siteOf([type]).needs;
    it.skipIf(!supports(...features))(`${type} starts no program, whatever the verb${needs(...features)}`, () => {
      const { before, config, runtimeConfig, own, site, arrangeContainer } = exampleOf(type);
      const sandbox = makeSandbox();
      const { path: netns } = sandbox;
      site.arrange();
      arrangeContainer?.(sandbox);
      const { name } = config;
      let previous: Json = {};
      for (const { type: earlier, ...rest } of before) {
        const { status, stdout, programs } = call("ADD", { type: earlier, config: { ...rest, name }, netns }, previous);
        expect({ earlier, status, programs }).toEqual({ earlier, status: 0, programs: [] });
        previous = { prevResult: JSON.parse(stdout) };
      }
      const handed = { ...own?.(), ...(runtimeConfig === undefined ? {} : { runtimeConfig: runtimeConfig(name) }) };
      const verbs = live({ type, config, netns, handed }, previous);
      expect(verbs).toEqual(nothing(verbs));
    });
  }

  /** Beside the IPAM that the type's example has. */
  const delegating = chains.filter(({ delegate, file, type }) => delegate in plugins && file !== firstWith(type));
  for (const { arrange, config, delegate, features, type } of new Map(
    delegating.map((one) => [`${one.type} ${one.delegate}`, one]),
  ).values()) {
    it.skipIf(!supports(...features))(`${type} with IPAM by ${delegate} starts no program either${needs(...features)}`, () => {
      arrange();
      const verbs = live({ type, config, netns: makeSandbox().path });
      expect(verbs).toEqual(nothing(verbs));
    });
  }

  it("podlink with everything, through a firewall that drops, starts no program", () => {
    output("nft", "add table ip theirs; add chain ip theirs forward { type filter hook forward priority 0; policy drop; }");
    const portMappings = ["tcp", "udp", "sctp"].map((protocol) => ({ hostPort: 8080, containerPort: 80, protocol }));
    const [rate, burst] = [8_000_000, 800_000];
    const bandwidth = { ingressRate: rate, ingressBurst: burst, egressRate: rate, egressBurst: burst };
    const verbs = live({
      type: "podlink",
      config: {
        name: "pods",
        bridge: "podlink0",
        ingressPolicy: "isolated",
        hostForward: true,
        ipam: { type: "host-local", ranges: [[{ subnet: "10.244.1.0/24" }], [{ subnet: "fd00:244:1::/64" }]] },
      },
      netns: makeSandbox().path,
      handed: { runtimeConfig: { portMappings, bandwidth, mac: "c2:00:00:00:00:42" } },
    });
    expect(verbs).toEqual(nothing(verbs));
  });
});

describe.skipIf(missing !== "")(`a network of conf/${missing}`, () => {
  for (const { arrange, config, features, file } of chains) {
    it.skipIf(!supports(...features))(`${file} is attached to and detached from by the tool alone${needs(...features)}`, () => {
      arrange();
      const { name } = config;
      const { path: netns } = makeSandbox();
      const env = { NETCONFPATH: join(root, "conf"), CNI_PATH: bin };
      for (const words of [
        ["status", name],
        ["add", name, netns],
        ["check", name, netns],
        ["del", name, netns],
        ["gc", name],
      ]) {
        const { status, stderr, programs } = trace("podlink", { env, words });
        expect({ words, status, stderr, programs }).toEqual({ words, status: 0, stderr: "", programs: [] });
      }
    });
  }
});

describe.skipIf(missing !== "")(`an IPAM plugin that is not podlink's${missing}`, () => {
  /** It starts nothing itself: every word is the shell's own. */
  const script = `#!/bin/sh
case $CNI_COMMAND in
  ADD) echo '{"cniVersion": "1.1.0", "ips": [{"address": "10.244.9.2/24", "gateway": "10.244.9.1"}]}' ;;
esac
`;

  it.each(["bridge", "podlink"])("is the one program that type %s starts, for the verbs that ask it", (type) => {
    const home = join(directory, type);
    mkdirSync(home);
    const plugin = join(home, "foreign-ipam");
    writeFileSync(plugin, script, { mode: 0o755 });
    const { path: netns } = makeSandbox();
    const config = { name: "pods", bridge: "foreign0", ipam: { type: "foreign-ipam" } };
    const verbs = live({ type, config, cniPath: `${bin}:${home}`, netns });
    const { VERSION, "ADD again": again, ...asking } = verbs;
    expect(VERSION).toEqual([]);
    for (const [verb, programs] of Object.entries(asking)) {
      expect(programs, verb).toEqual([expect.stringMatching(new RegExp(`^execve\\("${plugin}", .* = 0$`))]);
    }
    // Which fails where the interface is there, before or after the plugin was asked
    expect(again?.filter((line) => !line.startsWith(`execve("${plugin}", `))).toEqual([]);
  });
});
