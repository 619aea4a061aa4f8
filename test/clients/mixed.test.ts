import { spawn } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Json } from "../support/call-plugin.ts";
import { callProcess, type Implementation, networkState, podlink, steady } from "../support/implementation.ts";
import {
  freshNode,
  hideMachineState,
  leases,
  makeSandbox,
  nameSandbox,
  output,
  temporaryDirectory,
  unnameSandbox,
} from "../support/node.ts";
import { lacking, pluginDirectory } from "../support/reference.ts";

// A node while it moves from the reference to podlink or back: containers that one attached and the other detaches, each with the other's
// IPAM plugin, both on one directory of leases, plugins of both in one chain.

const networks = temporaryDirectory();

const config = {
  cniVersion: "1.0.0",
  name: "net1",
  type: "bridge",
  bridge: "br0",
  isDefaultGateway: true,
  ipam: { type: "host-local", ranges: [[{ subnet: "10.1.2.0/24" }], [{ subnet: "fd01::/64" }]] },
};

type Ip = { readonly address: string };

describe.each(["1.9.1", "1.1.1"] as const)("podlink and the reference %s", (version) => {
  const reference: Implementation = { name: `the reference`, path: pluginDirectory(version) };
  const missing = lacking(reference.path);
  const [r, p] = [reference, podlink];

  // bridge by the first, host-local by the second; then check and delete by another such pair
  const pairs = [
    [r, r],
    [r, p],
    [p, r],
    [p, p],
  ] as const;
  const moves = pairs
    .flatMap((before) => pairs.map((after) => ({ before, after })))
    .filter(({ before, after }) => new Set([...before, ...after]).size > 1);
  const titled = moves.map(({ before, after }) => ({ before, after, from: words(before), to: words(after) }));

  function words([bridge, ipam]: readonly [Implementation, Implementation]): string {
    return `${bridge.name}'s bridge with ${ipam === bridge ? "its own" : `${ipam.name}'s`} host-local`;
  }

  describe.skipIf(missing !== "")(`on one node${missing}`, () => {
    beforeAll(hideMachineState);
    beforeEach(freshNode);

    it.each(titled)("what $from adds, $to checks and deletes", ({ before, after }) => {
      const call = (
        [bridge, ipam]: typeof before,
        command: string,
        more: { netns: string; prevResult?: Json | undefined; containerId?: string },
      ) => {
        const { prevResult, ...who } = more;
        const stdin = prevResult === undefined ? config : { ...config, prevResult };
        return callProcess(bridge, { type: "bridge", command, config: stdin, path: ipam.path, ...who });
      };
      // the network's own things, by a container that was there before
      const first = makeSandbox();
      expect(call(before, "ADD", { netns: first.path, containerId: "first" })).toMatchObject({ exitCode: 0 });
      const node = steady(networkState());
      const sandbox = makeSandbox();
      const netns = sandbox.path;
      const added = call(before, "ADD", { netns });
      expect(added).toMatchObject({ exitCode: 0, output: { ips: [{ address: "10.1.2.3/24" }, { address: "fd01::3/64" }] } });
      const done = { exitCode: 0, output: undefined };
      expect(call(after, "CHECK", { netns, prevResult: added.output })).toEqual(done);
      expect(call(after, "DEL", { netns, prevResult: added.output })).toEqual(done);
      expect(sandbox.ipJson("link", "show")).toMatchObject([{ ifname: "lo" }]);
      expect(steady(networkState())).toEqual(node);
      expect(leases()).toEqual(["net1/10.1.2.2", "net1/fd01::2"]);
      expect(call(after, "DEL", { netns: "" })).toEqual(done);
      // and the next one goes on from there, beside the one of before
      const next = makeSandbox();
      expect(call(after, "ADD", { netns: next.path, containerId: "next" })).toMatchObject({
        exitCode: 0,
        output: { ips: [{ address: "10.1.2.4/24" }, { address: "fd01::4/64" }] },
      });
      expect(next.ping("10.1.2.2")).toBe(true);
      expect(call(after, "DEL", { netns: "/run/netns/gone", containerId: "first" })).toEqual(done);
      expect(leases()).toEqual(["net1/10.1.2.4", "net1/fd01::4"]);
    });

    it("lease by turns in one order", () => {
      const addresses = Array.from({ length: 8 }, (_, i) => {
        const { exitCode, output: result } = callProcess(i % 2 === 0 ? r : p, {
          type: "host-local",
          command: "ADD",
          config,
          netns: "/run/netns/none",
          containerId: `c${i}`,
        });
        expect(exitCode).toBe(0);
        return (result as { ips: Ip[] }).ips.map(({ address }) => address);
      });
      expect(addresses).toEqual(Array.from({ length: 8 }, (_, i) => [`10.1.2.${i + 2}/24`, `fd01::${i + 2}/64`]));
    });

    it("lease no address twice under load, and release what the other leased", async () => {
      const ids = Array.from({ length: 48 }, (_, i) => `c${i}`);
      const added = await inParallel(ids, (id, i) => start(i % 2 === 0 ? r : p, "ADD", id));
      const addresses = added.flatMap((text) => JSON.parse(text).ips.map(({ address }: Ip) => address));
      expect(new Set(addresses).size).toBe(2 * ids.length);
      expect(leases()).toHaveLength(2 * ids.length);
      await inParallel(ids, (id, i) => start(i % 2 === 0 ? p : r, "DEL", id));
      expect(leases()).toEqual([]);
    });
  });
});

/** Runs a plugin's executable while others run. @returns what it printed; @throws Error with that when it failed */
function start({ path }: Implementation, command: string, containerId: string): Promise<string> {
  const env = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: "/run/netns/none",
    CNI_IFNAME: "eth0",
    CNI_PATH: path,
  };
  const program = join(path, "host-local");
  const child = spawn(program, { argv0: program, env });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (text += data));
  child.stdin.end(JSON.stringify(config));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve(text) : reject(new Error(`${command} of "${containerId}" by ${program}: ${text}`)),
    );
  });
}

/** Does the work for each item, eight at a time. */
async function inParallel<T>(items: readonly string[], work: (item: string, index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  const queue = items.entries();
  const worker = async () => {
    for (const [index, item] of queue) results[index] = await work(item, index);
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return results;
}

const path = pluginDirectory("1.9.1");
const missing = lacking(path);

describe.skipIf(missing !== "")(`podlink's bridge before plugins of the reference${missing}`, () => {
  beforeAll(hideMachineState);
  beforeEach(freshNode);

  /** What each of them leaves for us to see: `shown` in what `ip` or `tc` tells of the container or the node. */
  const chained = [
    {
      plugin: { type: "tuning", mac: "c2:11:22:33:44:77", mtu: 1300 },
      look: "ip link show dev eth0",
      shown: /mtu 1300 .*c2:11:22:33:44:77 /s,
    },
    {
      plugin: { type: "bandwidth", ingressRate: 8_000_000, ingressBurst: 800_000 },
      look: "tc qdisc show",
      shown: /qdisc tbf .* dev pl[0-9a-z]{13} .* rate 8Mbit/,
    },
    { plugin: { type: "sbr" }, look: "ip rule show", shown: /from 10\.1\.2\.2 lookup 100/ },
  ];

  it.each(chained)("$plugin.type: add, check and del", ({ plugin, look, shown }) => {
    const list = { cniVersion: "1.1.0", name: "chain", plugins: [{ ...config, name: undefined }, plugin] };
    writeFileSync(join(networks, "chain.conflist"), JSON.stringify(list));
    const sandbox = makeSandbox();
    const netns = nameSandbox(sandbox, "blue");
    const run = (verb: string) =>
      output(
        "env",
        `NETCONFPATH=${networks}`,
        `CNI_PATH=${podlink.path}:${path}`,
        join(podlink.path, "podlink"),
        verb,
        "chain",
        netns,
      );
    const [program = "", ...words] = look.split(" ");
    const seen = () => `${output(program, ...words.slice(0, 2))}${sandbox.run(() => output(program, ...words))}`;
    try {
      run("add");
      expect(seen()).toMatch(shown);
      run("check");
      run("del");
    } finally {
      unnameSandbox(netns);
    }
    expect(sandbox.ipJson("link", "show")).toMatchObject([{ ifname: "lo" }]);
    expect(leases()).toEqual([]);
    expect(readdirSync("/var/lib/cni/results")).toEqual([]);
  });
});

describe.skipIf(missing !== "")(`what the reference's bridge has in nf_tables${missing}`, () => {
  beforeAll(hideMachineState);
  beforeEach(freshNode);

  const masqueraded = { ...config, ipMasq: true, ipMasqBackend: "nftables", macspoofchk: true };
  const call = (who: Implementation, command: string, more: { netns: string; containerId: string }) =>
    callProcess(who, { type: "bridge", command, config: masqueraded, programs: process.env.PATH, ...more });

  it("goes with podlink's DEL, and nobody else's with it", () => {
    const reference: Implementation = { name: "the reference", path };
    const ids = ["stays", "goes"];
    for (const containerId of ids) {
      expect(call(reference, "ADD", { netns: makeSandbox().path, containerId })).toMatchObject({ exitCode: 0 });
    }
    const before = output("nft", "list", "ruleset");
    for (const id of ids) expect(before.match(new RegExp(`\\b${id}\\b`, "g"))).toHaveLength(10);
    expect(call(podlink, "DEL", { netns: "", containerId: "goes" })).toMatchObject({ exitCode: 0 });
    const after = output("nft", "list", "ruleset");
    expect(after).not.toMatch(/\bgoes\b/);
    expect(after.match(/\bstays\b/g)).toHaveLength(10);
  });
});
