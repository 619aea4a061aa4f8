import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Json } from "../support/call-plugin.ts";
import { callProcess, type Implementation, podlink, reference, steady } from "../support/implementation.ts";
import { type KernelFeature, needs, supports } from "../support/kernel-features.ts";
import { freshNode, hideMachineState, leases, makeSandbox, output, type Sandbox } from "../support/node.ts";
import { lacking } from "../support/reference.ts";
import { givenSysctls } from "../support/stage.ts";
import { makeUplink, UPLINK, upperNetwork } from "../support/uplink.ts";

// Types whose interface lives in the container alone, by the reference and by podlink: each makes the same, and checks and deletes what the
// other made.

const ipam = {
  type: "host-local",
  ranges: [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd00:91::/64" }]],
  routes: [{ dst: "10.92.0.0/16" }, { dst: "::/0" }],
};
const upper = (type: string, more: Json = {}) => upperNetwork(type, { cniVersion: "1.0.0", ipam, ...more });

const networks: readonly { title: string; needs: KernelFeature; config: Json & { type: string } }[] = [
  { title: "macvlan", needs: "macvlan", config: upper("macvlan") },
  {
    title: "macvlan with every key",
    needs: "macvlan",
    config: upper("macvlan", { mode: "private", mtu: 1400, mac: "c2:11:22:33:44:55", bcqueuelen: 77 }),
  },
  { title: "macvlan in mode passthru", needs: "macvlan", config: upper("macvlan", { mode: "passthru" }) },
  { title: "ipvlan", needs: "ipvlan", config: upper("ipvlan") },
  { title: "ipvlan in mode l3s", needs: "ipvlan", config: upper("ipvlan", { mode: "l3s", mtu: 1400 }) },
  { title: "vlan", needs: "vlan", config: upper("vlan", { vlanId: 100, mtu: 1400 }) },
  { title: "dummy", needs: "dummy", config: { cniVersion: "1.0.0", name: "net1", type: "dummy", ipam } },
];

/** A container whose kernel does not ask for IPv6 addresses on the wire first: the reference would wait for that each time. */
function makeQuietSandbox(): Sandbox {
  const sandbox = makeSandbox();
  const quiet = { "net/ipv6/conf/all/accept_dad": "0", "net/ipv6/conf/default/accept_dad": "0" };
  sandbox.run(() => givenSysctls(quiet));
  return sandbox;
}

const missing = lacking(reference.path);

type Shown = Json & { readonly ifname: string };

/** The container's interface, without what is the implementation's own or different each time. */
function stateOf(sandbox: Sandbox, own: boolean): unknown {
  const [link] = sandbox.ipJson<Shown>("link", "show", "dev", "eth0");
  const { ifalias: _alias, address, ...rest } = link ?? ({} as Json);
  const of = (...query: string[]) => sandbox.run(() => output("ip", ...query, "dev", "eth0")).split("\n");
  const lines = ["-4", "-6"].flatMap((family) => [...of(family, "-oneline", "address", "show"), ...of(family, "route", "show")]);
  return {
    link: own ? { ...rest, address } : rest,
    // podlink's IPv6 addresses are not asked for on the wire first
    lines: lines
      .filter((line) => !/fe80::|ff00::/.test(line))
      .map((line) => line.replace(/^\d+: |\bnodad\b|\btentative\b|\s+(?=\s)|\s+$/g, ""))
      .map((line) => line.replace(/ +/g, " ")),
  };
}

describe.skipIf(missing !== "")(`what podlink and the reference put into a container${missing}`, () => {
  beforeAll(hideMachineState);
  beforeEach(freshNode);

  describe.each(networks)("$title", ({ needs: feature, config }) => {
    const { type } = config;
    const title = needs(feature);
    const isUpper = "master" in config;
    const call = (by: Implementation, command: string, who: { netns: string; prevResult?: Json | undefined; path?: string }) => {
      const { prevResult, ...more } = who;
      return callProcess(by, { type, command, config: prevResult === undefined ? config : { ...config, prevResult }, ...more });
    };
    const done = { exitCode: 0, output: undefined };

    it.skipIf(!supports(feature))(`is the same${title}`, () => {
      const states = [reference, podlink].map((by) => {
        freshNode();
        if (isUpper) makeUplink();
        const sandbox = makeQuietSandbox();
        const added = call(by, "ADD", { netns: sandbox.path });
        expect(added).toMatchObject({
          exitCode: 0,
          output: { ips: [{ address: "10.91.0.2/24" }, { address: "fd00:91::2/64" }] },
        });
        const { interfaces = [], ...result } = added.output as { interfaces?: Json[] };
        expect(interfaces).toMatchObject([{ name: "eth0", sandbox: sandbox.path }]);
        const state = { result, state: steady(stateOf(sandbox, "mac" in config)) };
        expect(call(by, "DEL", { netns: sandbox.path })).toEqual(done);
        return state;
      });
      expect(states[1]).toEqual(states[0]);
    });

    it.skipIf(!supports(feature)).each([
      { from: reference, to: podlink },
      { from: podlink, to: reference },
    ])(`by $from.name is checked and deleted by $to.name, with IPAM of either${title}`, ({ from, to }) => {
      if (isUpper) makeUplink();
      for (const [adding, deleting] of [
        [from, to],
        [to, from],
      ] as const) {
        const sandbox = makeQuietSandbox();
        const netns = sandbox.path;
        const added = call(from, "ADD", { netns, path: adding.path });
        expect(added.exitCode).toBe(0);
        if (isUpper && config.mode !== "l3s" && type !== "vlan") expect(sandbox.ping("10.91.0.1")).toBe(true);
        const prevResult = added.output;
        expect(call(to, "CHECK", { netns, prevResult, path: deleting.path })).toEqual(done);
        const [, { address = "" } = {}] = (prevResult as { ips?: { address: string }[] }).ips ?? [];
        sandbox.ip("address", "del", address, "dev", "eth0");
        expect(call(to, "CHECK", { netns, prevResult, path: deleting.path })).toMatchObject({ exitCode: 1 });
        expect(call(to, "DEL", { netns, prevResult, path: deleting.path })).toEqual(done);
        expect(sandbox.ipJson("link", "show")).toMatchObject([{ ifname: "lo" }]);
        expect(leases()).toEqual([]);
      }
    });

    it.skipIf(!supports(feature))(`by the reference is deleted by podlink when master and namespace are gone${title}`, () => {
      if (isUpper) makeUplink();
      const sandbox = makeQuietSandbox();
      expect(call(reference, "ADD", { netns: sandbox.path }).exitCode).toBe(0);
      if (isUpper) output("ip", "link", "del", UPLINK);
      for (const netns of [sandbox.path, "", "/run/netns/gone"]) expect(call(podlink, "DEL", { netns })).toEqual(done);
      expect(leases()).toEqual([]);
    });
  });
});
