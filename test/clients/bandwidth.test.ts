import { describe, expect, it } from "vitest";
import { shaperLinkName } from "../../src/link/names.ts";
import { type Attached, Bench, v4Network } from "../support/attach.ts";
import type { Json } from "../support/call-plugin.ts";
import { callProcess, type Implementation } from "../support/implementation.ts";
import { ipJson, output } from "../support/node.ts";
import { lacking, pluginDirectory } from "../support/reference.ts";

// Type bandwidth while a node moves from the reference to podlink or back: what one limits, the other checks and lets go.

const path = pluginDirectory("1.9.1");
const missing = lacking(path);
const reference: Implementation = { name: "the reference", path };

const bench = new Bench();

/** One of the two, called with a bandwidth configuration. */
type Call = (command: string, attached: Attached, keys: Json) => { exitCode: number | null; output?: Json | undefined };

function configOf({ result, who }: Attached, keys: Json): Json {
  const { name } = who.config as Json;
  return { cniVersion: "1.1.0", name, type: "bandwidth", prevResult: result, ...keys };
}

const ours: Call = (command, attached, keys) => {
  const { exitCode, stdout } = bench.caller.call({
    ...attached.who,
    type: "bandwidth",
    command,
    config: configOf(attached, keys),
  });
  return { exitCode, output: stdout === "" ? undefined : JSON.parse(stdout) };
};

const theirs: Call = (command, attached, keys) => {
  const { netns = "", containerId = "" } = attached.who;
  return callProcess(reference, { type: "bandwidth", command, config: configOf(attached, keys), netns, containerId });
};

const attach = {
  "podlink's bridge": () => bench.attach(v4Network()),
  "the reference's bridge": () => {
    const attached = bench.attach(v4Network({ name: "model" })); // its sandbox and call are used, its interface is made anew
    bench.detach(attached);
    const config = { ...v4Network(), ipam: { type: "host-local", subnet: "10.91.0.0/24" } };
    const { netns = "", containerId = "" } = attached.who;
    const added = callProcess(reference, { type: "bridge", command: "ADD", config, netns, containerId });
    expect(added.exitCode).toBe(0);
    return { ...attached, result: added.output as Attached["result"], who: { ...attached.who, config } };
  },
};

const limits: readonly { title: string; keys: Json; inexact?: true }[] = [
  {
    title: "both directions",
    keys: { ingressRate: 8_000_000, ingressBurst: 800_000, egressRate: 16_000_001, egressBurst: 1_600_003 },
  },
  { title: "ingress alone", keys: { ingressRate: 9_876_543, ingressBurst: 790_123 } },
  { title: "egress alone", keys: { egressRate: 9_876_543, egressBurst: 790_123 } },
  { title: "more than 4 GB/s", keys: { ingressRate: 80_000_000_000, ingressBurst: 8_000_000_000 } },
  { title: "the runtime's", keys: { runtimeConfig: { bandwidth: { egressRate: 1_000_000, egressBurst: 80_000 } } } },
  // the reference sets what is left of the time of such a burst in 32 bits
  { title: "a burst that stands for none", keys: { ingressRate: 1_000_000, ingressBurst: 2 ** 32 - 1 }, inexact: true },
];

const makers = [
  { adds: "podlink", add: ours, other: theirs },
  { adds: "the reference", add: theirs, other: ours },
];

const cases = makers.flatMap(({ adds, add, other }) =>
  Object.entries(attach).flatMap(([behind, make]) => limits.map((limit) => ({ adds, add, other, behind, make, ...limit }))),
);

const ifbs = (): string[] => ipJson<{ ifname: string }>("link", "show", "type", "ifb").map(({ ifname }) => ifname);

/** What tc shows of queues, with roles for names. */
function queues(): Json[] {
  const all: Json[] = JSON.parse(output("tc", "-j", "qdisc", "show"));
  const shown = all.filter(({ kind }) => kind !== "noqueue");
  return shown.map((qdisc) => ({ ...qdisc, dev: /^(plB|bwp)/.test(String(qdisc.dev)) ? "IFB" : "PORT" }));
}

describe.skipIf(missing !== "")(`bandwidth of podlink and the reference${missing}`, () => {
  it.each(cases)(
    "$title, behind $behind: what $adds adds, the other checks and deletes",
    ({ adds, add, other, make, keys, inexact }) => {
      const attached = make();
      const added = add("ADD", attached, keys);
      expect(added.exitCode).toBe(0);
      const later = { ...keys, prevResult: added.output };
      // The reference cannot recognise what it would not have set
      if (!(inexact === true && adds === "podlink")) expect(other("CHECK", attached, later)).toMatchObject({ exitCode: 0 });
      expect(add("CHECK", attached, later)).toMatchObject({ exitCode: 0 });
      expect(other("DEL", attached, later)).toMatchObject({ exitCode: 0 });
      expect(ifbs()).toEqual([]);
      expect(other("DEL", attached, later)).toMatchObject({ exitCode: 0 });
    },
  );

  it.each(limits.filter(({ inexact }) => inexact === undefined))("$title: queues and results are the reference's", ({ keys }) => {
    const one = bench.attach(v4Network());
    const results = [ours, theirs].map((call) => {
      const { output: result } = call("ADD", one, keys);
      const listed = (result?.interfaces ?? []) as Json[];
      const interfaces = listed.map(({ name, mac, sandbox }) =>
        /^(plB|bwp)/.test(String(name)) ? { sandbox } : { name, mac, sandbox },
      );
      const seen = { queues: queues(), interfaces, ips: result?.ips };
      ours("DEL", one, keys);
      for (const name of ifbs()) output("ip", "link", "del", name);
      return seen;
    });
    expect(results[0]).toEqual(results[1]);
  });

  it("an ifb of the reference stays when another network of the container goes", () => {
    const attached = attach["the reference's bridge"]();
    const keys = { egressRate: 8_000_000, egressBurst: 800_000 };
    theirs("ADD", attached, keys);
    const before = ifbs();
    expect(before).toEqual([expect.stringMatching(/^bwp[0-9a-f]{12}$/)]);
    ours("DEL", attached, { ...keys, name: "net2" });
    expect(ifbs()).toEqual(before);
    ours("DEL", attached, keys);
    expect(ifbs()).toEqual([]);
  });

  it("two interfaces in one network, which the reference cannot have, do not disturb each other", () => {
    const one = bench.attach(v4Network(), { containerId: "cid-1" });
    const two = bench.attach(v4Network(), { containerId: "cid-1", ifname: "eth1", sandbox: one.sandbox });
    const keys = { egressRate: 8_000_000, egressBurst: 800_000 };
    for (const attached of [one, two]) expect(ours("ADD", attached, keys).exitCode).toBe(0);
    expect(ours("DEL", one, keys).exitCode).toBe(0);
    expect(ifbs()).toEqual([shaperLinkName({ network: "net1", containerId: "cid-1", ifname: "eth1" })]);
    expect(ours("CHECK", two, keys).exitCode).toBe(0);
  });
});
