import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { libc } from "../../src/sys/libc.ts";
import type { Json } from "../support/call-plugin.ts";
import { callProcess, type Implementation, type ProcessAnswer, podlink, reference } from "../support/implementation.ts";
import { files, freshNode, hideMachineState, makeSandbox, type Sandbox } from "../support/node.ts";
import { lacking } from "../support/reference.ts";

// Type tuning behind a bridge, by the reference and by podlink: the same calls have to answer the same and leave the same but for what is
// meant to differ, and each has to check and to undo what the other did.

const MAC = "c2:11:22:33:44:55";
const bridge = {
  cniVersion: "1.1.0",
  name: "net1",
  type: "bridge",
  bridge: "br0",
  runtimeConfig: { mac: "c2:00:00:00:00:01" },
  ipam: { type: "host-local", ranges: [[{ subnet: "10.1.2.0/24" }]] },
};
const BACKUP = "/run/cni/tuning/cid-1_eth0.json";
const keys = ["net/core/somaxconn", "net/ipv4/conf/eth0/arp_filter", "net/ipv4/conf/eth0/rp_filter", "net/ipv4/tcp_rmem"];

/** A container that a bridge has attached, for tuning to be called on. */
interface Prepared {
  readonly sandbox: Sandbox;
  readonly prevResult: Json;
}

function prepare(implementation: Implementation, more: Json = {}): Prepared {
  const sandbox = makeSandbox();
  const config = { ...bridge, ...more };
  const added = callProcess(implementation, { type: "bridge", command: "ADD", config, netns: sandbox.path });
  expect(added).toMatchObject({ exitCode: 0 });
  return { sandbox, prevResult: added.output ?? {} };
}

function tune(
  implementation: Implementation,
  command: string,
  { sandbox, prevResult, config, args }: Prepared & { config: Json; args?: string | undefined },
): ProcessAnswer {
  const request = { cniVersion: "1.1.0", name: "net1", type: "tuning", ...config };
  const previous = command === "DEL" ? {} : { prevResult };
  return callProcess(implementation, {
    type: "tuning",
    command,
    config: { ...request, ...previous },
    netns: sandbox.path,
    args,
  });
}

/** What tuning can change of a container. */
function stateOf(sandbox: Sandbox): unknown {
  const [link] = sandbox.ipJson("link", "show", "dev", "eth0");
  const { address, mtu, txqlen, promiscuity, allmulti } = link ?? {};
  return { link: { address, mtu, txqlen, promiscuity, allmulti }, sysctls: keys.map((key) => sandbox.sysctl(key)) };
}

/** What the backup says to the reference. */
function backup(): unknown {
  if (files("/run/cni").length === 0) return undefined;
  const { podlink: _, ...shared } = JSON.parse(readFileSync(BACKUP, "utf8"));
  return shared;
}

const settings = { mac: MAC, promisc: true, mtu: 1400, allmulti: true, txQLen: 77 };

/** Hides /etc under one that holds the list of allowed sysctls alone, for the length of the test. */
function givenAllowList(text: string): void {
  libc("mount", "none", "/etc", "tmpfs", 0n, null);
  onTestFinished(() => void libc("umount2", "/etc", 2 /* MNT_DETACH */));
  mkdirSync("/etc/cni/tuning", { recursive: true });
  writeFileSync("/etc/cni/tuning/allowlist.conf", text);
}

const missing = lacking(reference.path);

describe.skipIf(missing !== "")(`podlink's tuning beside the reference's${missing}`, () => {
  beforeAll(hideMachineState);
  beforeEach(freshNode);

  const same: readonly { title: string; config: Json; args?: string }[] = [
    { title: "every attribute", config: settings },
    {
      title: "attributes of args before all",
      config: { ...settings, mtu: 1300, args: { cni: { mtu: 1450, txQLen: 5, promisc: false } } },
    },
    {
      title: "the runtime's MAC before the one of CNI_ARGS",
      config: { runtimeConfig: { mac: MAC } },
      args: "MAC=c2:00:00:00:00:09",
    },
    { title: "the MAC of CNI_ARGS before the configuration's", config: { mac: "c2:00:00:00:00:09" }, args: `MAC=${MAC}` },
    { title: "attributes off", config: { promisc: false, allmulti: false, mtu: 0, txQLen: 0 } },
    { title: "nothing", config: {} },
    { title: "keys in another case", config: { MTU: 1400, TxQLen: 9, SysCtl: { "net.core.somaxconn": "99" } } },
    {
      title: "sysctls with dots and slashes",
      config: {
        sysctl: {
          "net.core.somaxconn": "99",
          "/net/ipv4.conf/IFNAME.rp_filter": "2",
          "net/ipv4/conf/eth0/arp_filter": "1",
        },
      },
    },
    { title: "several values", config: { sysctl: { "net.ipv4.tcp_rmem": "4096\t131072\t7340032" } } },
    {
      title: "sysctls of args beside those of the configuration",
      config: {
        sysctl: { "net.core.somaxconn": "99", "net.ipv4.conf.IFNAME.rp_filter": "1" },
        args: { cni: { sysctl: { "net.core.somaxconn": "98" } } },
      },
    },
  ];

  it.each(same)("$title: the same result, container, backup and CHECK", ({ config, args }) => {
    const [theirs, ours] = [reference, podlink].map((implementation) => {
      freshNode();
      const prepared = { ...prepare(reference), config, args };
      const { sandbox } = prepared;
      const before = stateOf(sandbox) as { link: unknown };
      const add = tune(implementation, "ADD", prepared);
      expect(add).toMatchObject({ exitCode: 0 });
      const after = stateOf(sandbox);
      const saved = backup() ?? {};
      const prevResult = add.output ?? {};
      const check = tune(implementation, "CHECK", { ...prepared, prevResult });
      const del = tune(implementation, "DEL", prepared);
      expect(stateOf(sandbox)).toMatchObject({ link: before.link });
      expect(backup()).toBeUndefined();
      const interfaces = (prevResult.interfaces as Json[]).map(({ name, mac, mtu: _, sandbox: where }) =>
        // the bridge's and the host end's MAC are different every time
        name === "eth0" ? { name, mac, inside: where === sandbox.path } : {},
      );
      return { result: { ...prevResult, interfaces }, after, saved, check, del };
    });
    expect(ours).toEqual(theirs);
  });

  const pairs = [
    { bridged: reference, tuned: podlink },
    { bridged: podlink, tuned: reference },
    { bridged: podlink, tuned: podlink },
    { bridged: reference, tuned: reference },
  ].flatMap((pair) => [reference, podlink].map((after) => ({ ...pair, after })));
  const mixed = pairs.map((pair) => ({
    ...pair,
    from: `${pair.bridged.name}'s bridge, ${pair.tuned.name}'s tuning`,
    to: pair.after.name,
  }));

  it.each(mixed)("what $from added, $to checks and undoes", ({ bridged, tuned, after }) => {
    const prepared = { ...prepare(bridged), config: { ...settings, sysctl: { "net.core.somaxconn": "99" } } };
    const before = stateOf(prepared.sandbox) as { link: unknown };
    const { exitCode, output: result } = tune(tuned, "ADD", prepared);
    expect({ exitCode, state: stateOf(prepared.sandbox) }).toMatchObject({
      exitCode: 0,
      state: { link: { address: MAC, mtu: 1400 } },
    });
    const done = { exitCode: 0, output: undefined };
    const prevResult = result ?? {};
    expect(tune(after, "CHECK", { ...prepared, prevResult })).toEqual(done);
    // and the bridge's CHECK of the whole chain's result
    const config = { ...bridge, prevResult };
    for (const each of [bridged, after]) {
      expect(callProcess(each, { type: "bridge", command: "CHECK", config, netns: prepared.sandbox.path })).toEqual(done);
    }
    expect(tune(after, "DEL", prepared)).toEqual(done);
    expect(stateOf(prepared.sandbox)).toMatchObject({ link: before.link });
    expect(files("/run/cni")).toEqual([]);
    if (tuned === podlink && after === podlink) expect(stateOf(prepared.sandbox)).toEqual(before);
    expect(tune(after, "DEL", prepared)).toEqual(done);
  });

  const refused: readonly { title: string; config: Json; theirs: RegExp; ours: { code: number; msg: RegExp } }[] = [
    {
      title: "a sysctl outside of the network's",
      config: { sysctl: { "kernel.shmmax": "1" } },
      theirs: /invalid net sysctl key: "kernel\/shmmax"/,
      ours: { code: 7, msg: /invalid net sysctl key: "kernel\.shmmax"/ },
    },
    {
      title: "a way out of the network's",
      config: { sysctl: { "net/../kernel/shmmax": "1" } },
      theirs: /no such file or directory/,
      ours: { code: 7, msg: /invalid net sysctl key/ },
    },
    {
      title: "a number for a value",
      config: { sysctl: { "net.core.somaxconn": 99 } },
      theirs: /cannot unmarshal number/,
      ours: { code: 7, msg: /"sysctl\.net\.core\.somaxconn" is 99: expected a string/ },
    },
    {
      title: "a value that cannot be",
      config: { sysctl: { "net.core.somaxconn": "many" } },
      theirs: /invalid argument/,
      ours: { code: 7, msg: /Cannot set sysctl "net.core.somaxconn" to "many": EINVAL/ },
    },
    {
      title: "a MAC of a group",
      config: { mac: "01:00:5e:00:00:01" },
      theirs: /cannot assign requested address/,
      ours: { code: 7, msg: /Cannot set "mac" of "eth0" to "01:00:5e:00:00:01": .*Cannot assign requested address/ },
    },
  ];

  it.each(refused)("both refuse $title", ({ config, theirs, ours }) => {
    const prepared = { ...prepare(reference), config };
    expect(tune(reference, "ADD", prepared)).toMatchObject({
      exitCode: 1,
      output: { code: 999, msg: expect.stringMatching(theirs) },
    });
    const { code, msg } = ours;
    expect(tune(podlink, "ADD", prepared)).toMatchObject({ exitCode: 1, output: { code, msg: expect.stringMatching(msg) } });
  });

  it("both refuse an ADD that no plugin came before", () => {
    const request = {
      type: "tuning",
      command: "ADD",
      config: { cniVersion: "1.1.0", name: "net1", type: "tuning" },
      netns: makeSandbox().path,
    };
    for (const one of [reference, podlink]) {
      const output = { msg: expect.stringContaining("Required prevResult missing") };
      expect(callProcess(one, request)).toMatchObject({ exitCode: 1, output });
    }
  });

  it("both allow what a list of allowed sysctls allows, and no more", () => {
    const prepared = prepare(reference);
    const written = ["net.core.somaxconn", "net/core/somaxconn", "net.ipv4.conf.IFNAME.rp_filter"];
    const lists = [
      "",
      "\n\n",
      "  \nz",
      " \tsomaxconn \n",
      "^net.core.somaxconn$",
      "^net\\.core\\.somaxconn$\r\n",
      "(?i)CORE",
    ].concat(["rp_filter\n[[:digit:]]", "^net.ipv4.conf.IFNAME.", "e$\n#x", "core\n(bad", "(bad\ncore"]);
    const verdicts = lists.flatMap((list) => {
      givenAllowList(list);
      return written.map((key) => {
        const [theirs, ours] = [reference, podlink].map(
          (one) => tune(one, "ADD", { ...prepared, config: { sysctl: { [key]: "1" } } }).exitCode,
        );
        return { list, key, theirs, ours };
      });
    });
    expect(verdicts.filter(({ theirs, ours }) => theirs !== ours)).toEqual([]);
    expect(new Set(verdicts.map(({ ours }) => ours))).toEqual(new Set([0, 1]));
  });

  const foundByUs: readonly { title: string; config: Json }[] = [
    { title: "a value with its words a space apart", config: { sysctl: { "net.ipv4.tcp_rmem": "4096 131072 7340032" } } },
    { title: "a MAC in upper case", config: { mac: MAC.toUpperCase() } },
    { title: "promiscuous mode that nobody asked about", config: { mtu: 1400 } },
  ];

  it.each(foundByUs)("podlink's CHECK alone agrees to $title", ({ config }) => {
    const prepared = { ...prepare(reference), config };
    const { output: prevResult = {} } = tune(reference, "ADD", prepared);
    prepared.sandbox.ip("link", "set", "eth0", "promisc", "on");
    const codes = [reference, podlink].map((one) => tune(one, "CHECK", { ...prepared, prevResult }).exitCode);
    expect(codes).toEqual([1, 0]);
  });
});
