import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Bench } from "../support/attach.ts";
import { DyingSteps, type Json, type PluginCall } from "../support/call-plugin.ts";
import { needs, supports } from "../support/kernel-features.ts";
import { files, ipJson, leases, makeSandbox, nodeSnapshot, output, Sandbox } from "../support/node.ts";
import { makeUplink, UPLINK, upperNetwork } from "../support/uplink.ts";

// Type macvlan on an uplink with a machine at its other end.

const bench = new Bench();
const network = (more: Json = {}) => upperNetwork("macvlan", more);
const [GATEWAY, GATEWAY6] = ["10.91.0.1", "fd00:91::1"];

type Shown = Json & { readonly address: string; readonly linkinfo: { info_data: Json }; readonly flags: string[] };

function linkIn(sandbox: Sandbox, name = "eth0"): Shown | undefined {
  return sandbox.ipJson<Shown>("link", "show").find(({ ifname }) => ifname === name);
}

function callOf(command: string, sandbox: { readonly path: string }, more: Partial<PluginCall> = {}): PluginCall {
  return { type: "macvlan", command, containerId: "cid-1", netns: sandbox.path, config: network(), ...more };
}

describe.skipIf(!supports("macvlan"))(`macvlan${needs("macvlan")}`, () => {
  describe("ADD", () => {
    it("makes the interface whole in one request, and reaches the world and the other containers through the parent", () => {
      const peer = makeUplink();
      const { result, sandbox, v4, v6 } = bench.attach(network());
      const link = linkIn(sandbox);
      expect(link).toMatchObject({
        linkinfo: { info_kind: "macvlan", info_data: { mode: "bridge" } },
        mtu: 1500,
        group: "default",
      });
      expect(link?.ifalias).toBe("podlink net1 cid-1 eth0");
      expect(result.interfaces).toEqual([{ name: "eth0", mac: link?.address, mtu: 1500, sandbox: sandbox.path }]);
      expect((result.ips ?? []).map((ip) => ip.interface)).toEqual([0, 0]);
      for (const address of [GATEWAY, GATEWAY6]) expect(sandbox.ping(address)).toBe(true);
      const other = bench.attach(network());
      for (const address of [v4, v6]) expect(other.sandbox.ping(address)).toBe(true);
      for (const address of [other.v4, other.v6]) expect(peer.ping(address)).toBe(true);
      expect(peer.run(() => output("ip", "neighbour", "show", v4))).toContain(link?.address);
    });

    it("records commands that a person would type", () => {
      makeUplink();
      const sandbox = makeSandbox();
      const config = network({ mode: "private", mac: "C2-11-22-33-44-55", mtu: 1400, bcqueuelen: 77 });
      const { steps } = bench.caller.succeed(callOf("ADD", sandbox, { config }));
      const created = steps.filter((step) => step.includes("ip link add"));
      expect(created).toEqual([
        `ip link add link up0 name eth0 mtu 1400 address c2:11:22:33:44:55 netns ${sandbox.path} group 1886151012 type macvlan mode private bcqueuelen 77`,
      ]);
      expect(steps.at(-1)).toBe(`nsenter --net=${sandbox.path} ip link set eth0 alias 'podlink net1 cid-1 eth0' group default`);
      const link = linkIn(sandbox);
      expect(link).toMatchObject({ address: "c2:11:22:33:44:55", mtu: 1400 });
      expect(link?.linkinfo.info_data).toMatchObject({ mode: "private", bcqueuelen: 77 });
      bench.caller.succeed(callOf("DEL", sandbox));
      for (const command of created) output("sh", "-c", command);
      expect(linkIn(sandbox)).toMatchObject({ mtu: 1400, linkinfo: { info_data: { mode: "private" } } });
    });

    it("gives the container a name that a link of the node has too, which stays as it is", () => {
      makeUplink();
      output("ip", "link", "set", UPLINK, "down");
      for (const change of ["name eth0", "up"])
        output("ip", "link", "set", change === "up" ? "eth0" : UPLINK, ...change.split(" "));
      const before = nodeSnapshot();
      const { sandbox, who } = bench.attach(network({ master: "eth0" }));
      expect(linkIn(sandbox)).toMatchObject({ linkinfo: { info_kind: "macvlan" } });
      bench.caller.succeed({ ...who, command: "CHECK" });
      bench.detach({ who });
      expect(nodeSnapshot()).toEqual(before);
    });

    it.each([
      { mode: "private", each: false },
      { mode: "vepa", each: false }, // the peer is no switch that sends frames back to where they came from
      { mode: "bridge", each: true },
    ])("in mode $mode joins containers of one parent: $each; and each with the world", ({ mode, each }) => {
      makeUplink();
      const [one, two] = [bench.attach(network({ mode })), bench.attach(network({ mode }))];
      expect(linkIn(one.sandbox)?.linkinfo.info_data).toMatchObject({ mode });
      for (const { sandbox, who } of [one, two]) {
        expect(sandbox.ping(GATEWAY)).toBe(true);
        bench.caller.succeed({ ...who, command: "CHECK" });
      }
      expect(one.sandbox.ping(two.v4, each ? {} : { timeoutMs: 300 })).toBe(each);
    });

    it("in mode passthru has the parent for itself, with the parent's MAC address", () => {
      makeUplink();
      const [before] = ipJson<Shown>("link", "show", UPLINK);
      const { sandbox, result, who } = bench.attach(network({ mode: "passthru" }));
      expect(result.interfaces?.[0]?.mac).toBe(before?.address);
      expect(sandbox.ping(GATEWAY)).toBe(true);
      bench.caller.succeed({ ...who, command: "CHECK" });
      const second = bench.caller.fail(callOf("ADD", makeSandbox(), { containerId: "second" }));
      expect(second.msg).toContain('create macvlan "eth0" in the container');
      expect(leases()).toHaveLength(2);
    });

    it("in mode passthru lends the parent the MAC address that is asked for, and gives it its own back", () => {
      makeUplink();
      const mac = () => ipJson<Shown>("link", "show", UPLINK)[0]?.address;
      const before = mac();
      const { sandbox, result, who } = bench.attach(network({ mode: "passthru", mac: "c2:11:22:33:44:55" }));
      expect(result.interfaces?.[0]?.mac).toBe("c2:11:22:33:44:55");
      expect(linkIn(sandbox)?.address).toBe("c2:11:22:33:44:55");
      expect(sandbox.ping(GATEWAY)).toBe(true);
      bench.detach({ who });
      expect(mac()).toBe(before);
    });

    it("takes the MAC address of the runtime before that of CNI_ARGS, and that before the configuration's", () => {
      makeUplink();
      const macOf = (config: Json & { type: string }, args?: string) =>
        bench.attach(config, args === undefined ? {} : { args }).result.interfaces?.[0]?.mac;
      const [configured, argument, asked] = ["c2:00:00:00:00:01", "c2:00:00:00:00:02", "c2:00:00:00:00:03"];
      expect(macOf(network({ mac: configured }))).toBe(configured);
      expect(macOf(network({ mac: configured }), `MAC=${argument}`)).toBe(argument);
      expect(macOf(network({ mac: configured, runtimeConfig: { mac: asked } }), `MAC=${argument}`)).toBe(asked);
    });

    it("without a master stands on the link of the default route, of either family", () => {
      makeUplink();
      const { master: _, ...config } = network();
      const without = { config: { ...config, name: "net2" } };
      expect(bench.caller.fail(callOf("ADD", makeSandbox(), without))).toMatchObject({
        code: 7,
        msg: expect.stringContaining("no default route interface found on the host"),
      });
      output("ip", "-6", "route", "add", "default", "via", GATEWAY6, "dev", UPLINK, "onlink");
      const { sandbox, who } = bench.attach({ ...config, name: "net2" });
      expect(sandbox.ping(GATEWAY)).toBe(true);
      output("ip", "-6", "route", "del", "default");
      bench.caller.succeed({ ...who, command: "CHECK" });
      bench.detach({ who });
      expect(leases()).toEqual([]);
    });

    it("stands on a link of the container where it is told to", () => {
      const peer = makeSandbox();
      const sandbox = makeSandbox();
      sandbox.ip("link", "add", "below0", "type", "veth", "peer", "name", "eth0", "netns", peer.path);
      sandbox.ip("link", "set", "below0", "up");
      peer.ip("link", "set", "eth0", "up");
      peer.ip("address", "add", "10.91.0.1/24", "dev", "eth0");
      const config = network({ master: "below0", linkInContainer: true });
      const { steps } = bench.caller.succeed(callOf("ADD", sandbox, { config }));
      expect(steps[0]).toMatch(/^nsenter --net=\S+ ip link add link below0 name eth0 group \d+ type macvlan mode bridge$/);
      expect(sandbox.ping("10.91.0.1")).toBe(true);
      bench.caller.succeed(callOf("DEL", sandbox, { config }));
      const attached = bench.attach(config, { sandbox });
      bench.caller.succeed({ ...attached.who, command: "CHECK" });
      const elsewhere = { ...(attached.who.config as Json), linkInContainer: false };
      expect(bench.caller.fail({ ...attached.who, command: "CHECK", config: elsewhere }).msg).toContain("where its master is");
      sandbox.ip("route", "add", "default", "dev", "below0");
      const { master: _, ...defaulted } = config;
      const second = bench.attach(defaulted as typeof config, { sandbox, ifname: "eth1" });
      expect(linkIn(sandbox, "eth1")).toMatchObject({ link: "below0" });
      bench.detach(second);
    });

    it("without IPAM brings the interface up and no more", () => {
      makeUplink();
      const { ipam: _, ...config } = network({ dns: { nameservers: ["10.1.1.1"] } });
      const { result, sandbox, who } = bench.attach(config as ReturnType<typeof network>);
      expect(result).toMatchObject({ interfaces: [{ name: "eth0" }], dns: { nameservers: ["10.1.1.1"] } });
      expect(result).not.toHaveProperty("ips");
      expect(linkIn(sandbox)?.flags).toContain("UP");
      bench.caller.succeed({ ...who, command: "CHECK" });
      bench.detach({ who });
    });

    it("has IPAM's DNS settings unless the network has its own", () => {
      makeUplink();
      const addresses = [{ address: "10.91.0.7/24" }];
      const ipam = { type: "static", addresses, dns: { nameservers: ["10.1.1.1"] } };
      expect(bench.attach(network({ ipam })).result.dns).toEqual({ nameservers: ["10.1.1.1"] });
      expect(bench.attach(network({ ipam, dns: { search: ["x"] } })).result.dns).toEqual({ search: ["x"] });
    });

    it.each([
      { family: "IPv4", address: "10.91.0.7/24" },
      { family: "IPv6", address: "fd00:91::7/64" },
    ])("tells who remembers another owner of its address ($family)", ({ address }) => {
      const peer = makeUplink();
      const [own = ""] = address.split("/");
      const remember = ["lladdr", "c2:de:ad:00:00:01", "dev", "eth0", "nud", "reachable"];
      peer.ip("neighbour", "replace", own, ...remember);
      const { result } = bench.attach(network({ ipam: { type: "static", addresses: [{ address }] } }));
      const mac = result.interfaces?.[0]?.mac ?? "none";
      expect(peer.ping(own)).toBe(true); // what was announced is on its way before
      expect(peer.ip("neighbour", "show", own)).toContain(mac);
    });

    it("waits for duplicate address detection where it is asked to, and refuses an address that somebody has", () => {
      makeUplink();
      const ipam = (address: string) => ({ type: "static", addresses: [{ address }] });
      const sandbox = makeSandbox();
      const config = network({ enabledad: true, ipam: ipam(`${GATEWAY6}/64`) });
      expect(bench.caller.fail(callOf("ADD", sandbox, { config })).msg).toContain("DAD failed");
      expect(linkIn(sandbox)).toBeUndefined();
      const free = bench.attach(network({ enabledad: true, ipam: ipam("fd00:91::8/64") }));
      expect(free.sandbox.ip("-6", "address", "show", "dev", "eth0")).not.toContain("tentative");
      const without = bench.attach(network({ ipam: ipam("fd00:91::9/64") }));
      expect(without.sandbox.ip("-6", "address", "show", "dev", "eth0", "to", "fd00:91::9")).toContain("nodad");
    });

    it("that fails leaves neither interface nor lease", () => {
      makeUplink();
      const clean = nodeSnapshot();
      const sandbox = makeSandbox();
      const full = { type: "host-local", ranges: [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd00:91::/127" }]] };
      const unreachable = { ...(network().ipam as Json), routes: [{ dst: "10.5.0.0/16", gw: "192.0.2.1" }] };
      for (const ipam of [full, unreachable]) bench.caller.fail(callOf("ADD", sandbox, { config: network({ ipam }) }));
      expect(linkIn(sandbox)).toBeUndefined();
      expect(leases()).toEqual([]);
      expect(files("/var/lib/cni/networks").filter((file) => !/lock$|last_reserved/.test(file))).toEqual([]);
      expect(nodeSnapshot()).toEqual(clean);
    });
  });

  describe("an ADD that was killed", () => {
    /** Kills it after each of its changes in turn. */
    function killEach(inspect: (sandbox: Sandbox, after: number) => void): void {
      makeUplink();
      const count = () => {
        using first = new Sandbox();
        const { steps } = bench.caller.succeed(callOf("ADD", first));
        bench.caller.succeed(callOf("DEL", first));
        return steps.length;
      };
      count(); // what belongs to the network is there from now on
      const changes = count();
      expect(changes).toBeGreaterThan(8);
      for (let after = 0; after < changes; after++) {
        using sandbox = new Sandbox();
        bench.caller.fail(callOf("ADD", sandbox, { steps: new DyingSteps(after) }));
        inspect(sandbox, after);
        expect(linkIn(sandbox), `killed after ${after} changes`).toBeUndefined();
        expect(leases(), `killed after ${after} changes`).toEqual([]);
      }
    }

    it("after any of its changes can be repeated, and nothing of the first one is left", () => {
      killEach((sandbox, after) => {
        bench.caller.succeed(callOf("ADD", sandbox));
        expect(leases(), `killed after ${after} changes`).toHaveLength(2);
        expect(sandbox.ping(GATEWAY)).toBe(true);
        bench.caller.succeed(callOf("DEL", sandbox));
      });
    });

    it("after any of its changes can be deleted", () => {
      killEach((sandbox) => void bench.caller.succeed(callOf("DEL", sandbox)));
    });
  });

  describe("DEL", () => {
    it("releases the address only when the interface is gone", () => {
      makeUplink();
      const { who } = bench.attach(network());
      const { steps } = bench.caller.succeed({ ...who, command: "DEL" });
      expect(steps[0]).toContain("ip link del eth0");
      expect(steps.slice(1).join("\n")).toContain("rm ");
    });

    it("needs no parent, which takes its macvlans along, and no default route", () => {
      makeUplink();
      const { sandbox, who } = bench.attach(network());
      output("ip", "link", "del", UPLINK);
      expect(linkIn(sandbox)).toBeUndefined();
      expect(bench.caller.fail({ ...who, command: "CHECK" }).msg).toContain('find "eth0" in the container');
      for (const call of [who, who, { ...who, netns: "/run/netns/gone" }]) bench.detach({ who: call });
      expect(leases()).toEqual([]);
    });

    it("leaves alone another attachment's interface, and one of another kind", () => {
      makeUplink();
      const other = bench.attach(network(), { containerId: "other" });
      bench.caller.succeed(callOf("DEL", other.sandbox));
      bench.caller.succeed({ ...other.who, command: "CHECK" });
      const strange = makeSandbox();
      strange.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth1");
      bench.caller.succeed(callOf("DEL", strange));
      expect(linkIn(strange)).toBeDefined();
    });

    it("takes away what another implementation made, without alias", () => {
      makeUplink();
      const sandbox = makeSandbox();
      output("ip", "link", "add", "link", UPLINK, "name", "eth0", "netns", sandbox.path, "type", "macvlan", "mode", "bridge");
      bench.caller.succeed(callOf("DEL", sandbox));
      expect(linkIn(sandbox)).toBeUndefined();
    });
  });

  describe("CHECK", () => {
    it("tolerates what a later plugin changed and its result says", () => {
      makeUplink();
      const { sandbox, who, result } = bench.attach(network());
      sandbox.ip("link", "set", "eth0", "mtu", "1280", "address", "c2:00:00:00:00:09");
      expect(bench.caller.fail({ ...who, command: "CHECK" }).msg).toMatch(/its MAC address is "c2:00:00:00:00:09", expected/);
      const interfaces = [{ ...result.interfaces?.[0], mtu: 1280, mac: "C2:00:00:00:00:09" }];
      const config = { ...network(), prevResult: { ...result, interfaces } };
      bench.caller.succeed({ ...who, command: "CHECK", config });
    });

    it("finds another parent under the master's name", () => {
      makeUplink();
      const { who } = bench.attach(network());
      output("ip", "link", "set", UPLINK, "down");
      output("ip", "link", "set", UPLINK, "name", "old0");
      output("ip", "link", "add", UPLINK, "type", "veth", "peer", "name", "other0");
      expect(bench.caller.fail({ ...who, command: "CHECK" }).msg).toContain('its master is "old0", expected "up0"');
    });

    it.each([
      ["mode", { mode: "vepa" }, 'its mode is "bridge", expected "vepa"'],
      ["MTU", { mtu: 1300 }, "its MTU is 1500, expected 1300"],
    ])("compares the %s with the configuration where the result does not say", (_what, keys, words) => {
      makeUplink();
      const { who, result } = bench.attach(network({ cniVersion: "0.4.0" }));
      expect(result.interfaces?.[0]).not.toHaveProperty("mtu");
      const config = { ...network({ cniVersion: "0.4.0", ...keys }), prevResult: result };
      expect(bench.caller.fail({ ...who, command: "CHECK", config }).msg).toContain(words);
    });
  });

  it("leaves the container's own settings in place: arp_notify and ndisc_notify are its interface's", () => {
    makeUplink();
    const { sandbox } = bench.attach(network());
    const read = (key: string) => sandbox.run(() => readFileSync(`/proc/sys/net/${key}`, "utf8").trim());
    expect([read("ipv4/conf/eth0/arp_notify"), read("ipv6/conf/eth0/ndisc_notify")]).toEqual(["1", "1"]);
    expect([read("ipv4/conf/all/arp_notify"), read("ipv6/conf/all/ndisc_notify")]).toEqual(["0", "0"]);
  });
});
