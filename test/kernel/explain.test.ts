import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { deleteHostLink } from "../../src/attachment/host-links.ts";
import { explainSteps } from "../../src/runtime/explain.ts";
import { Steps } from "../../src/support/steps.ts";
import { Bench, bridgeNetwork, l2Network } from "../support/attach.ts";
import type { Json } from "../support/call-plugin.ts";
import { conflists, readConflist, siteOf, typesIn } from "../support/examples.ts";
import { type KernelFeature, needs, supports } from "../support/kernel-features.ts";
import { freshNode, makeSandbox, nameSandbox, nodeSnapshot, output, type Sandbox, unnameSandbox } from "../support/node.ts";

// What `--explain` prints is given to a shell on another empty node, where it must do what podlink did.

const bench = new Bench();

function namesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).sort();
}

/** Everything that can be set for a namespace, by the file below /proc/sys/net. */
function sysctls(): Record<string, string> {
  const directory = "/proc/sys/net";
  const names = namesBelow(directory);
  const passing = /nf_conntrack_count$|_secret$|_key$/; // count by themselves, or are random
  return Object.fromEntries(
    names.flatMap((name) => {
      const path = join(directory, name);
      if (passing.test(name) || !statSync(path).isFile() || (statSync(path).mode & 0o400) === 0) return [];
      try {
        return [[name, readFileSync(path, "utf8")]];
      } catch {
        return []; // some can only be written
      }
    }),
  );
}

/** Files of the lease directories, with mode and content. */
function leaseFiles(): Record<string, string> {
  const directory = "/var/lib/cni/networks";
  const names = existsSync(directory) ? namesBelow(directory) : [];
  return Object.fromEntries(
    names.map((name) => {
      const path = join(directory, name);
      const { mode } = statSync(path);
      const isLease = /^[^/]+\/[\d.:a-f]+$/.test(name); // of the others podlink's own modes are not the point
      return [name, `${isLease ? mode.toString(8) : ""} ${statSync(path).isFile() ? readFileSync(path, "utf8") : ""}`];
    }),
  );
}

/** Firewall and traffic control, where there is any. */
function rules(): string[] {
  return ["nft --stateless list ruleset", "tc qdisc show", "tc -d filter show"].map((command) => output("sh", "-c", command));
}

/** All that is compared. */
function world(container: Sandbox) {
  return {
    node: nodeSnapshot(),
    sysctls: sysctls(),
    rules: rules(),
    leases: leaseFiles(),
    container: container.snapshot(),
    inside: container.run(sysctls),
    rulesInside: container.run(rules),
  };
}

/** An empty node, and a container whose path is the same on every node. */
function freshPair(path: string): Sandbox {
  freshNode();
  const container = makeSandbox();
  nameSandbox(container, path);
  return container;
}

/** Runs `work` on an empty node; the namespace's name is free again afterwards. */
function onFreshPair<T>(work: (container: Sandbox, path: string) => T, name = "blue"): T {
  const container = freshPair(name);
  const path = `/run/netns/${name}`;
  try {
    return work(container, path);
  } finally {
    unnameSandbox(path);
  }
}

function shell(script: string): void {
  const { status, stderr } = spawnSync("sh", ["-e"], { input: script, encoding: "utf8", env: process.env });
  expect({ status, stderr }, script).toEqual({ status: 0, stderr: "" });
}

type Config = Json & { readonly type: string };

/** Without the MAC addresses that the kernel thought of itself. */
function known<T>(found: T, script: string): T {
  const text = JSON.stringify(found).replaceAll(/(?:[\da-f]{2}:){5}[\da-f]{2}/g, (mac) =>
    script.includes(mac) ? mac : "random",
  );
  return JSON.parse(text);
}

/** Calls of a chain of plugins on one node, made by podlink and then by a shell; what each made is answered. */
function both(chain: readonly Config[], calls: readonly { command: string; ifname?: string }[], name?: string) {
  const steps = new Steps();
  const site = siteOf(typesIn(chain));
  const made = onFreshPair((container, netns) => {
    site.arrange();
    let prevResult: unknown;
    for (const { command, ifname = "eth0" } of calls) {
      for (const config of command === "ADD" ? chain : chain.toReversed()) {
        const who = { type: config.type, containerId: "cid-1", netns, ifname, steps };
        const previous = config === chain[0] ? {} : { prevResult };
        const { stdout } = bench.caller.succeed({ ...who, command, config: { ...config, ...previous } });
        if (command === "ADD") prevResult = JSON.parse(stdout);
      }
    }
    return world(container);
  }, name);
  const script = explainSteps(steps.list);
  const typed = onFreshPair((container) => {
    site.arrange();
    shell(script);
    return world(container);
  }, name);
  return { made: known(made, script), typed: known(typed, script), script };
}

/** What a runtime would give to a plugin that declares the capability. */
const capabilityArgs: Json = {
  portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }],
  bandwidth: { ingressRate: 8_000_000, ingressBurst: 8_000_000, egressRate: 4_000_000, egressBurst: 8_000_000 },
};

function chainOf(file: string): Config[] {
  const { name, plugins } = readConflist(file);
  return plugins.map(({ capabilities = {}, ...config }) => {
    const given = Object.entries(capabilityArgs).filter(([capability]) => capability in Object(capabilities));
    return { ...config, cniVersion: "1.0.0", name, runtimeConfig: Object.fromEntries(given) };
  });
}

const routes = [
  { dst: "0.0.0.0/0" },
  { dst: "0.0.0.0/0", gw: "10.91.0.7" }, // beside the other one, with the same metric
  { dst: "10.50.0.0/16", gw: "10.91.0.9", priority: 77, mtu: 1280, advmss: 1200 },
  { dst: "10.51.0.0/16", scope: 253 },
  { dst: "::/0", priority: 5 },
  { dst: "::/0", priority: 6, gw: "fd00:91::7" },
  { dst: "fd00:50::/32", table: 1234, mtu: 1300 },
];

describe("the commands of an explanation, given to a shell", () => {
  it("build what a bridge ADD built: both families, routes, hairpin, MTU", () => {
    const { made, typed, script } = both(
      [
        bridgeNetwork({
          isDefaultGateway: true,
          mtu: 1400,
          hairpinMode: true,
          ipam: { type: "host-local", ranges: [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd00:91::/64" }]], routes },
        }),
      ],
      [{ command: "ADD" }],
    );
    expect(typed).toEqual(made);
    expect(made.sysctls).toMatchObject({ "ipv4/ip_forward": "1\n", "ipv6/conf/br1/accept_ra": "0\n" });
    expect(made.inside).toMatchObject({ "ipv4/conf/eth0/arp_notify": "1\n" });
    expect(made.leases).toMatchObject({ "net1/10.91.0.2": "100600 cid-1\r\neth0" });
    expect(made.container).toContainEqual(expect.stringContaining("fd00:50::/32"));
    for (const words of ["advmss 1200", "hairpin on", "mtu 1400", "nsenter --net=/run/netns/blue sysctl", "10.91.0.2"]) {
      expect(script).toContain(words);
    }
  });

  it("build two interfaces on a promiscuous bridge, isolated, and take one away again", () => {
    const { made, typed } = both(
      [bridgeNetwork({ promiscMode: true, portIsolation: true })],
      [{ command: "ADD" }, { command: "ADD", ifname: "net1" }, { command: "DEL" }],
    );
    expect(typed).toEqual(made);
  });

  it("leave as much as podlink does when all is taken away", () => {
    const { made, typed } = both([bridgeNetwork()], [{ command: "ADD" }, { command: "DEL" }]);
    expect(typed).toEqual(made);
  });

  it.skipIf(!supports("bridge-vlans"))(`build VLANs${needs("bridge-vlans")}`, () => {
    const config = bridgeNetwork({ vlan: 100, vlanTrunk: [{ minID: 5, maxID: 7 }] });
    const { made, typed } = both([config], [{ command: "ADD" }]);
    expect(typed).toEqual(made);
  });

  describe.each(conflists())("conf/%s", (file) => {
    const chain = chainOf(file);
    const site = siteOf(typesIn(chain));
    const inVlans = chain.some((config) => config.type === "bridge" && "vlan" in config);
    const features: KernelFeature[] = [...site.needs, ...(inVlans ? (["bridge-vlans"] as const) : [])];
    const [lacks, title] = [!supports(...features), needs(...features)];

    it.skipIf(lacks)(`build what it describes${title}`, () => {
      const { made, typed, script } = both(chain, [{ command: "ADD" }]);
      expect(typed).toEqual(made);
      expect(script).not.toBe("");
    });

    it.skipIf(lacks)(`take it away${title}`, () => {
      const { made, typed } = both(chain, [{ command: "ADD" }, { command: "DEL" }]);
      expect(typed).toEqual(made);
    });
  });

  it("can have names that a shell would read otherwise", () => {
    const names = { bridge: "b$(id)'\"`;", name: "wire" };
    const { made, typed } = both(
      [l2Network(names)],
      [
        { command: "ADD", ifname: "eth0;$HOME#*" },
        { command: "ADD", ifname: "it's&|<>" },
      ],
      "two words; $(and more) 'quoted' %s \\n",
    );
    expect(typed).toEqual(made);
  });

  it("go on where a step of podlink's failed without harm", () => {
    const steps = new Steps();
    const made = onFreshPair((container, netns) => {
      deleteHostLink({ network: "net1", containerId: "cid-1", ifname: "eth0" }, steps); // there is none
      bench.caller.succeed({ type: "bridge", command: "ADD", containerId: "cid-1", netns, steps, config: bridgeNetwork() });
      return world(container);
    });
    expect(steps.list.filter(({ error }) => error !== undefined)).not.toEqual([]);
    const typed = onFreshPair((container) => {
      shell(explainSteps(steps.list));
      return world(container);
    });
    expect(typed).toEqual(made);
  });
});
