import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it, onTestFinished } from "vitest";
import type { Result } from "../../src/cni/result.ts";
import { hostLinkName } from "../../src/link/names.ts";
import { libc } from "../../src/sys/libc.ts";
import { type Attached, Bench, v4Network } from "../support/attach.ts";
import { DyingSteps, type Json, type PluginCall } from "../support/call-plugin.ts";
import { files, makeSandbox, output, type Sandbox } from "../support/node.ts";

// What type tuning makes of each of its keys behind a bridge, as the kernel and `ip` show it, and that it goes back.

const bench = new Bench();
const DIRECTORY = "/run/cni/tuning";
const MAC = "c2:11:22:33:44:55";

interface LinkShown {
  readonly address: string;
  readonly mtu: number;
  readonly txqlen: number;
  readonly flags: readonly string[];
}

const eth0 = (sandbox: Sandbox): LinkShown => {
  const [link] = sandbox.ipJson<LinkShown>("link", "show", "dev", "eth0");
  if (link === undefined) throw new Error("no eth0");
  return link;
};

const RMEM = "net/ipv4/tcp_rmem";
const BACKLOG = "net/core/somaxconn";
const FILTER = "net/ipv4/conf/eth0/rp_filter";

/** Values of sysctls, to compare by. */
const values = (sandbox: Sandbox, ...keys: string[]) => keys.map((key) => sandbox.sysctl(key).replaceAll("\t", " "));

/** Everything that these tests change in a container. */
const state = (sandbox: Sandbox) => ({
  network: sandbox.snapshot(),
  sysctls: values(sandbox, RMEM, BACKLOG, FILTER),
});

/** A call of tuning for an attachment of the bridge. */
function call(command: string, { who, result }: Attached, keys: Json, more: Partial<PluginCall> = {}): PluginCall {
  const config = { cniVersion: "1.1.0", name: "net1", type: "tuning", ...keys };
  const previous = command === "DEL" ? {} : { prevResult: result };
  return { ...who, type: "tuning", command, config: { ...config, ...previous }, ...more };
}

const tune = (attached: Attached, keys: Json): Result => JSON.parse(bench.caller.succeed(call("ADD", attached, keys)).stdout);

const everything = {
  sysctl: { "net.core.somaxconn": "1234", "net.ipv4.conf.IFNAME.rp_filter": "2", "net.ipv4.tcp_rmem": "4096 131072 7340032" },
  mac: "C2:11:22:33:44:55",
  promisc: true,
  mtu: 1400,
  allmulti: true,
  txQLen: 77,
};

describe("ADD", () => {
  it("sets all there is to set, and tells MAC and MTU in the result", () => {
    const attached = bench.attach(v4Network());
    const { sandbox } = attached;
    const result = tune(attached, everything);
    expect(eth0(sandbox)).toMatchObject({ address: MAC, mtu: 1400, txqlen: 77 });
    expect(eth0(sandbox).flags).toEqual(expect.arrayContaining(["UP", "PROMISC", "ALLMULTI"]));
    expect(values(sandbox, BACKLOG, FILTER, RMEM)).toEqual(["1234", "2", "4096 131072 7340032"]);
    const interfaces = attached.result.interfaces?.map((link) =>
      link.name === "eth0" ? { ...link, mac: MAC, mtu: 1400 } : link,
    );
    expect(result).toEqual({ ...attached.result, interfaces });
    expect(result.interfaces?.[2]).toEqual({ name: "eth0", mac: MAC, mtu: 1400, sandbox: sandbox.path });
  });

  it("tells it of the interface in this container alone", () => {
    const attached = bench.attach(v4Network());
    const others = [
      { name: "eth0", mac: "02:00:00:00:00:01", mtu: 9 },
      { name: "eth0", mac: "02:00:00:00:00:02", sandbox: "/vm" },
    ];
    const interfaces = [...(attached.result.interfaces ?? []), ...others];
    const result = tune({ ...attached, result: { ...attached.result, interfaces } }, { mac: MAC });
    expect(result.interfaces?.slice(3)).toEqual(others);
    expect(result.interfaces?.[2]?.mac).toBe(MAC);
  });

  it("writes sysctls in the order of the file, each as a command, before it changes the interface", () => {
    const attached = bench.attach(v4Network());
    const { steps } = bench.caller.succeed(call("ADD", attached, { ...everything, mac: undefined, promisc: undefined }));
    const enter = `nsenter --net=${attached.sandbox.path} `;
    expect(steps.slice(-6)).toEqual([
      `${enter}sysctl -w net/core/somaxconn=1234`,
      `${enter}sysctl -w net/ipv4/conf/eth0/rp_filter=2`,
      `${enter}sysctl -w 'net/ipv4/tcp_rmem=4096 131072 7340032'`,
      `${enter}ip link set eth0 mtu 1400`,
      `${enter}ip link set eth0 allmulticast on`,
      `${enter}ip link set eth0 txqueuelen 77`,
    ]);
  });

  it("writes the backup first, in the reference's form with a part of podlink's own, for root alone", () => {
    const attached = bench.attach(v4Network());
    const before = eth0(attached.sandbox).address;
    const { steps } = bench.caller.succeed(call("ADD", attached, everything));
    expect(steps.slice(0, 2)).toEqual([
      `mkdir -p -m 700 ${DIRECTORY}`,
      expect.stringContaining(` > ${DIRECTORY}/cid-1_eth0.json)`),
    ]);
    const { podlink, ...theirs } = JSON.parse(readFileSync(`${DIRECTORY}/cid-1_eth0.json`, "utf8"));
    expect(theirs).toEqual({ mac: before, promisc: false, mtu: 1500, allmulti: false, txQLen: 1000 });
    expect(podlink).toMatchObject({ network: "net1", containerId: "cid-1", ifname: "eth0" });
    expect(podlink.sysctls).toContainEqual({ path: BACKLOG, before: "4096", after: "1234" });
    expect(output("stat", "-c", "%a", DIRECTORY, `${DIRECTORY}/cid-1_eth0.json`)).toBe("700\n600\n");
  });

  it("writes over what a killed call left of its backup, which DEL removes too", () => {
    const attached = bench.attach(v4Network());
    const half = `${DIRECTORY}/.${hostLinkName({ network: "net1", containerId: "cid-1", ifname: "eth0" })}`;
    mkdirSync(DIRECTORY, { recursive: true });
    writeFileSync(half, "{".repeat(10_000));
    tune(attached, { mtu: 1400 });
    expect(files("/run/cni")).toEqual([`${DIRECTORY}/cid-1_eth0.json`]);
    expect(JSON.parse(readFileSync(`${DIRECTORY}/cid-1_eth0.json`, "utf8"))).toMatchObject({ mtu: 1500 });
    writeFileSync(half, "{");
    bench.caller.succeed(call("DEL", attached, {}));
    expect(files("/run/cni")).toEqual([]);
  });

  it("keeps the backup where dataDir says", () => {
    const attached = bench.attach(v4Network());
    tune(attached, { mtu: 1400, dataDir: "/run/cni/elsewhere/deep" });
    expect(files("/run/cni")).toEqual(["/run/cni/elsewhere/deep/cid-1_eth0.json"]);
    bench.caller.succeed(call("DEL", attached, { mtu: 1400, dataDir: "/run/cni/elsewhere/deep" }));
    expect(files("/run/cni")).toEqual([]);
  });

  it("without anything to set does nothing and passes the result on", () => {
    const attached = bench.attach(v4Network());
    const answer = bench.caller.succeed(call("ADD", attached, { mtu: 0, promisc: false, sysctl: {} }));
    expect(answer.steps).toEqual([]);
    expect(JSON.parse(answer.stdout)).toEqual(attached.result);
  });

  it("takes the MAC of the runtime, and of CNI_ARGS", () => {
    const first = bench.attach(v4Network());
    tune(first, { runtimeConfig: { mac: MAC } });
    expect(eth0(first.sandbox).address).toBe(MAC);
    const second = bench.attach(v4Network());
    bench.caller.succeed(call("ADD", second, {}, { args: "IgnoreUnknown=1;MAC=c2:11:22:33:44:66" }));
    expect(eth0(second.sandbox).address).toBe("c2:11:22:33:44:66");
  });

  it("finds sysctls of an interface with a dot in its name", () => {
    const attached = bench.attach(v4Network(), { ifname: "eth0.100" });
    tune(attached, { sysctl: { "net.ipv4.conf.IFNAME.arp_filter": "1", "net.ipv4.conf.eth0.100.arp_ignore": "1" } });
    expect(values(attached.sandbox, "net/ipv4/conf/eth0.100/arp_filter", "net/ipv4/conf/eth0.100/arp_ignore")).toEqual([
      "1",
      "1",
    ]);
  });

  it("sets what can only be written, and makes empty what shall be", () => {
    const attached = bench.attach(v4Network());
    attached.sandbox.run(() => writeFileSync("/proc/sys/net/ipv4/ip_local_reserved_ports", "8080"));
    const keys = { sysctl: { "net.ipv4.route.flush": "1", "net.ipv4.ip_local_reserved_ports": "" } };
    tune(attached, keys);
    expect(values(attached.sandbox, "net/ipv4/ip_local_reserved_ports")).toEqual([""]);
    bench.caller.succeed(call("CHECK", attached, keys));
    expect(bench.caller.succeed(call("DEL", attached, keys)).stderr).toBe("");
    expect(values(attached.sandbox, "net/ipv4/ip_local_reserved_ports")).toEqual(["8080"]);
  });
});

describe("packets", () => {
  it("reach the container under its new MAC at once, though its neighbours knew the old one", () => {
    const [one, two] = [bench.attach(v4Network()), bench.attach(v4Network())];
    expect(two.sandbox.ping(one.v4)).toBe(true);
    tune(one, { mac: MAC });
    expect(two.sandbox.ping(one.v4)).toBe(true);
    expect(two.sandbox.ipJson("neighbour", "show", one.v4)).toMatchObject([{ lladdr: MAC }]);
  });

  it("that are too long for the new MTU are not sent", () => {
    const attached = bench.attach(v4Network());
    const ping = (size: number) =>
      attached.sandbox.run(() => spawnSync("ping", ["-c", "1", "-W", "2", "-M", "do", "-s", `${size}`, "10.91.0.1"])).status;
    expect(ping(1372)).toBe(0);
    tune(attached, { mtu: 1300 });
    expect([ping(1272), ping(1273)]).toEqual([0, 1]);
  });

  it("are answered, or not, as a sysctl says", () => {
    const [one, two] = [bench.attach(v4Network()), bench.attach(v4Network())];
    const keys = { sysctl: { "net.ipv4.icmp_echo_ignore_all": "1" } };
    tune(one, keys);
    expect(two.sandbox.ping(one.v4, { timeoutMs: 200 })).toBe(false);
    bench.caller.succeed(call("DEL", one, keys));
    expect(two.sandbox.ping(one.v4)).toBe(true);
  });
});

describe("a failed ADD", () => {
  it.each<[title: string, keys: Json, error: Json]>([
    [
      "a MAC of a group",
      { mac: "01:00:5e:00:00:01" },
      { code: 7, msg: expect.stringMatching(/^Cannot set "mac" of "eth0" to "01:00:5e:00:00:01": .*\(EADDRNOTAVAIL\)/) },
    ],
    [
      "an MTU beyond the link's",
      { mtu: 70_000 },
      { code: 7, msg: expect.stringMatching(/^Cannot set "mtu" of "eth0" to 70000: /) },
    ],
    [
      "a sysctl that there is not",
      { sysctl: { ...everything.sysctl, "net.core.nowhere": "1" } },
      { code: 7, msg: 'Cannot set sysctl "net.core.nowhere" to "1": this namespace has no "net/core/nowhere"' },
    ],
    [
      "a value that cannot be",
      { sysctl: { ...everything.sysctl, "net.core.somaxconn": "-5" } },
      { code: 7, msg: expect.stringMatching(/^Cannot set sysctl "net.core.somaxconn" to "-5": EINVAL/) },
    ],
    [
      "a value of which the kernel makes another",
      { sysctl: { ...everything.sysctl, "net.ipv4.ping_group_range": "9 7" } },
      { code: 7, msg: 'Cannot set sysctl "net.ipv4.ping_group_range" to "9 7": the kernel made "1 0" of it' },
    ],
  ])("because of %s leaves everything as it was", (_title, keys, error) => {
    const attached = bench.attach(v4Network());
    const before = state(attached.sandbox);
    expect(bench.caller.fail(call("ADD", attached, { ...everything, ...keys }))).toMatchObject(error);
    expect(state(attached.sandbox)).toEqual(before);
    expect(files("/run/cni")).toEqual([]);
  });

  it("leaves what an earlier one set, and its backup", () => {
    const attached = bench.attach(v4Network());
    const before = state(attached.sandbox);
    tune(attached, { ...everything, mtu: undefined });
    const tuned = [state(attached.sandbox), readFileSync(`${DIRECTORY}/cid-1_eth0.json`, "utf8")];
    bench.caller.fail(
      call("ADD", attached, { sysctl: { "net.core.somaxconn": "55" }, mtu: 1300, txQLen: 5, mac: "01:00:5e:00:00:01" }),
    );
    expect([state(attached.sandbox), readFileSync(`${DIRECTORY}/cid-1_eth0.json`, "utf8")]).toEqual(tuned);
    bench.caller.succeed(call("DEL", attached, {}));
    expect(state(attached.sandbox)).toEqual(before);
  });

  it("because of a key that is there twice changes nothing", () => {
    const attached = bench.attach(v4Network());
    const request = call("ADD", attached, { sysctl: { "net.core.somaxconn": "99" } });
    const config = JSON.stringify(request.config).replace('"99"', '"99","net.core.somaxconn":"98"');
    const msg = 'duplicated sysctl keys are not allowed: "net.core.somaxconn"';
    expect(bench.caller.fail({ ...request, config })).toMatchObject({ code: 7, msg, steps: [] });
  });

  it("without the interface says so and writes nothing", () => {
    const attached = bench.attach(v4Network());
    expect(bench.caller.fail(call("ADD", attached, { mtu: 1400 }, { ifname: "eth7" }))).toMatchObject({
      msg: 'Cannot tune "eth7" in the container: Link "eth7" not found',
      steps: [],
    });
    expect(files("/run/cni")).toEqual([]);
  });

  it("that was killed at any change is undone by DEL", () => {
    tune(bench.attach(v4Network()), everything); // makes the directory
    const { steps } = bench.caller.succeed(call("ADD", bench.attach(v4Network()), everything));
    for (let changes = 0; changes < steps.length; changes++) {
      const attached = bench.attach(v4Network());
      const before = state(attached.sandbox);
      const dying = new DyingSteps(changes);
      bench.caller.fail(call("ADD", attached, everything, { steps: dying }));
      bench.caller.succeed(call("DEL", attached, everything));
      expect(state(attached.sandbox), `after ${changes} changes`).toEqual(before);
    }
    expect(files("/run/cni")).toEqual(["cid-1", "cid-2"].map((id) => `${DIRECTORY}/${id}_eth0.json`));
  });
});

describe("DEL", () => {
  it("puts everything back and removes the backup, and says nothing the second time", () => {
    const attached = bench.attach(v4Network());
    const before = state(attached.sandbox);
    tune(attached, everything);
    expect(state(attached.sandbox)).not.toEqual(before);
    bench.caller.succeed(call("DEL", attached, everything));
    expect(state(attached.sandbox)).toEqual(before);
    expect(files("/run/cni")).toEqual([]);
    expect(bench.caller.succeed(call("DEL", attached, everything)).steps).toEqual([]);
  });

  it("puts back what was there before the first of several ADDs", () => {
    const attached = bench.attach(v4Network());
    const before = state(attached.sandbox);
    tune(attached, everything);
    tune(attached, everything);
    tune(attached, { sysctl: { "net.core.somaxconn": "99", "net.ipv4.conf.IFNAME.rp_filter": "1" }, mtu: 1300 });
    bench.caller.succeed(call("DEL", attached, {}));
    expect(state(attached.sandbox)).toEqual(before);
  });

  it("leaves a sysctl of the namespace that somebody set since, and puts the interface's own back", () => {
    const attached = bench.attach(v4Network());
    const { sandbox } = attached;
    const before = values(sandbox, FILTER);
    tune(attached, everything);
    sandbox.run(() => writeFileSync(`/proc/sys/${BACKLOG}`, "77"));
    sandbox.run(() => writeFileSync(`/proc/sys/${FILTER}`, "1"));
    sandbox.ip("link", "set", "eth0", "mtu", "1350");
    bench.caller.succeed(call("DEL", attached, everything));
    expect(values(sandbox, BACKLOG)).toEqual(["77"]);
    expect(values(sandbox, FILTER)).toEqual(before);
    expect(eth0(sandbox).mtu).toBe(1500);
  });

  it.each(["", "/run/netns/gone"])("removes the backup when the namespace is gone (%j)", (netns) => {
    const attached = bench.attach(v4Network());
    tune(attached, everything);
    bench.caller.succeed(call("DEL", attached, everything, { netns }));
    expect(files("/run/cni")).toEqual([]);
  });

  it("does not touch another container that has the path by now", () => {
    const [attached, other] = [bench.attach(v4Network()), bench.attach(v4Network())];
    tune(attached, everything);
    const before = state(other.sandbox);
    bench.caller.succeed(call("DEL", attached, everything, { netns: other.sandbox.path }));
    expect(state(other.sandbox)).toEqual(before);
    expect(files("/run/cni")).toEqual([]);
  });

  it("does not touch another interface that has the name by now, only the namespace's sysctls", () => {
    const attached = bench.attach(v4Network());
    const { sandbox } = attached;
    const before = values(sandbox, BACKLOG);
    tune(attached, everything);
    bench.detach(attached);
    sandbox.ip("link", "add", "eth0", "mtu", "1380", "type", "veth", "peer", "name", "eth0p");
    bench.caller.succeed(call("DEL", attached, everything));
    expect(eth0(sandbox).mtu).toBe(1380);
    expect(values(sandbox, BACKLOG)).toEqual(before);
  });

  it("restores from a backup of the reference's, and removes one that is damaged", () => {
    const attached = bench.attach(v4Network());
    const { sandbox } = attached;
    const before = eth0(sandbox);
    mkdirSync(DIRECTORY, { recursive: true });
    const backup = { mac: before.address, promisc: false, mtu: 1500, allmulti: false, txQLen: 1000 };
    writeFileSync(`${DIRECTORY}/cid-1_eth0.json`, JSON.stringify(backup, null, 1));
    sandbox.ip("link", "set", "eth0", "address", MAC, "mtu", "1400", "promisc", "on", "allmulticast", "on", "txqueuelen", "5");
    bench.caller.succeed(call("DEL", attached, {}));
    expect(eth0(sandbox)).toEqual(before);
    writeFileSync(`${DIRECTORY}/cid-1_eth0.json`, '{ "mtu": 14');
    bench.caller.succeed(call("DEL", attached, {}));
    expect(files("/run/cni")).toEqual([]);
  });

  it("tells what it cannot put back, and goes on", () => {
    const attached = bench.attach(v4Network());
    mkdirSync(DIRECTORY, { recursive: true });
    writeFileSync(`${DIRECTORY}/cid-1_eth0.json`, JSON.stringify({ mac: "01:00:5e:00:00:01", mtu: 1450 }));
    const { stderr } = bench.caller.succeed(call("DEL", attached, {}));
    expect(stderr).toMatch(/Cannot put back "mac" of "eth0": .*EADDRNOTAVAIL/);
    expect(eth0(attached.sandbox).mtu).toBe(1450);
    expect(files("/run/cni")).toEqual([]);
  });

  it("does not take another attachment's backup for its own where the names of the files are the same", () => {
    const attached = bench.attach(v4Network(), { containerId: "a_b", ifname: "c" });
    tune(attached, { mtu: 1400 });
    bench.caller.succeed(call("DEL", attached, {}, { containerId: "a", ifname: "b_c" }));
    bench.caller.succeed({ ...call("DEL", attached, {}), config: { cniVersion: "1.1.0", name: "net2", type: "tuning" } });
    expect(files("/run/cni")).toEqual([`${DIRECTORY}/a_b_c.json`]);
    bench.caller.succeed(call("DEL", attached, {}));
    expect(files("/run/cni")).toEqual([]);
  });
});

describe("CHECK", () => {
  it.each<[title: string, damage: (sandbox: Sandbox) => unknown, said: string]>([
    [
      "MAC",
      (sandbox) => sandbox.ip("link", "set", "eth0", "address", "c2:00:00:00:00:01"),
      `"mac" is "c2:00:00:00:00:01", expected "${MAC}"`,
    ],
    ["promisc", (sandbox) => sandbox.ip("link", "set", "eth0", "promisc", "off"), '"promisc" is false, expected true'],
    ["MTU", (sandbox) => sandbox.ip("link", "set", "eth0", "mtu", "1300"), '"mtu" is 1300, expected 1400'],
    ["allmulti", (sandbox) => sandbox.ip("link", "set", "eth0", "allmulticast", "off"), '"allmulti" is false, expected true'],
    ["queue", (sandbox) => sandbox.ip("link", "set", "eth0", "txqueuelen", "78"), '"txQLen" is 78, expected 77'],
    [
      "sysctl",
      (sandbox) => sandbox.run(() => writeFileSync(`/proc/sys/${RMEM}`, "4096 131072 6291456")),
      'sysctl "net.ipv4.tcp_rmem": its value is "4096 131072 6291456", expected "4096 131072 7340032"',
    ],
    ["interface", (sandbox) => sandbox.ip("link", "del", "eth0"), 'Cannot find "eth0" in the container: Link "eth0" not found'],
  ])("finds a changed %s", (_title, damage, said) => {
    const attached = bench.attach(v4Network());
    const result = tune(attached, everything);
    bench.caller.succeed(call("CHECK", { ...attached, result }, everything));
    damage(attached.sandbox);
    expect(bench.caller.fail(call("CHECK", { ...attached, result }, everything)).msg).toContain(said);
  });

  it("names every difference", () => {
    const attached = bench.attach(v4Network());
    const result = { ...attached.result, interfaces: [] };
    const { msg } = bench.caller.fail(call("CHECK", { ...attached, result }, everything));
    for (const name of ["mac", "promisc", "mtu", "allmulti", "txQLen", "net.core.somaxconn", "net.ipv4.tcp_rmem"])
      expect(msg).toContain(`"${name}"`);
  });

  it("does not mind what a later plugin of the chain made of MAC and MTU, nor a mode nobody asked about", () => {
    const attached = bench.attach(v4Network());
    const { interfaces = [], ...rest } = tune(attached, { mac: MAC, mtu: 1400 });
    const later = { mac: "c2:00:00:00:00:0A", mtu: 1300 };
    attached.sandbox.ip("link", "set", "eth0", "address", later.mac, "mtu", "1300", "promisc", "on");
    const result = { ...rest, interfaces: interfaces.map((each) => (each.name === "eth0" ? { ...each, ...later } : each)) };
    bench.caller.succeed(call("CHECK", { ...attached, result }, { mac: MAC, mtu: 1400 }));
  });
});

describe("GC", () => {
  it("removes the network's backups that nobody holds, those half written too, and nobody else's", () => {
    const names = ["stale", "kept", "other"];
    for (const containerId of names) {
      const attached = bench.attach(v4Network(), { containerId });
      const more = containerId === "other" ? { name: "net2" } : {};
      tune(attached, { mtu: 1400, ...more });
    }
    writeFileSync(`${DIRECTORY}/reference_eth0.json`, '{"mtu": 1500}');
    const half = (network: string, containerId: string) => `.${hostLinkName({ network, containerId, ifname: "eth0" })}`;
    for (const name of [half("net1", "stale"), half("net1", "kept"), half("net2", "other")])
      writeFileSync(`${DIRECTORY}/${name}`, "{");
    const valid = [{ containerID: "kept", ifname: "eth0" }];
    const config = { cniVersion: "1.1.0", name: "net1", type: "tuning", mtu: 1400, "cni.dev/valid-attachments": valid };
    bench.caller.succeed({ type: "tuning", command: "GC", config });
    const left = ["kept_eth0.json", "other_eth0.json", "reference_eth0.json", half("net1", "kept"), half("net2", "other")];
    expect(readdirSync(DIRECTORY).sort()).toEqual(left.sort());
    bench.caller.succeed({ type: "tuning", command: "GC", config: { ...config, dataDir: "/run/cni/nowhere" } });
    expect(existsSync("/run/cni/nowhere")).toBe(false);
  });
});

describe("the list of allowed sysctls", () => {
  /** Hides /etc under one that holds the list alone, for the length of the test. */
  function givenAllowList(lines: string): void {
    libc("mount", "none", "/etc", "tmpfs", 0n, null);
    onTestFinished(() => void libc("umount2", "/etc", 2 /* MNT_DETACH */));
    mkdirSync("/etc/cni/tuning", { recursive: true });
    writeFileSync("/etc/cni/tuning/allowlist.conf", lines);
  }
  const status = (keys: Json): PluginCall => ({
    type: "tuning",
    command: "STATUS",
    config: { cniVersion: "1.1.0", name: "net1", type: "tuning", ...keys },
  });

  it("refuses what is not on it before any change, in STATUS too, and says what is", () => {
    const attached = bench.attach(v4Network());
    givenAllowList("^net.ipv4.conf.IFNAME.rp_filter$\n^net.core.somaxconn$\n");
    const refused = {
      msg: 'Cannot set sysctl "net.ipv4.tcp_rmem" to "4096 131072 7340032": Sysctl net.ipv4.tcp_rmem is not allowed by "/etc/cni/tuning/allowlist.conf"',
      details: 'Only the following sysctls are allowed: ["^net.ipv4.conf.IFNAME.rp_filter$" "^net.core.somaxconn$"]',
    };
    expect(bench.caller.fail(call("ADD", attached, everything))).toMatchObject({ code: 7, steps: [], ...refused });
    expect(bench.caller.fail(status(everything))).toMatchObject({ code: 50, ...refused });
    const { "net.ipv4.tcp_rmem": _, ...allowed } = everything.sysctl;
    expect(tune(attached, { sysctl: allowed })).toEqual(attached.result);
    bench.caller.succeed(status({ sysctl: allowed }));
    bench.caller.succeed(call("CHECK", attached, { sysctl: allowed }));
  });

  it("has no say where no sysctl is set, nor over DEL", () => {
    const attached = bench.attach(v4Network());
    const before = state(attached.sandbox);
    tune(attached, everything);
    givenAllowList("");
    bench.caller.succeed(call("DEL", attached, everything));
    expect(state(attached.sandbox)).toEqual(before);
    tune(attached, { mtu: 1400 });
  });

  it("that cannot be read refuses", () => {
    const attached = bench.attach(v4Network());
    libc("mount", "none", "/etc", "tmpfs", 0n, null);
    onTestFinished(() => void libc("umount2", "/etc", 2 /* MNT_DETACH */));
    mkdirSync("/etc/cni/tuning/allowlist.conf", { recursive: true });
    expect(bench.caller.fail(call("ADD", attached, everything))).toMatchObject({
      steps: [],
      msg: expect.stringContaining("EISDIR"),
    });
  });
});

it("STATUS wants a place for backups only where there is something to set", () => {
  const config = { cniVersion: "1.1.0", name: "net1", type: "tuning", dataDir: "/proc/version/x" };
  const ready = (keys: Json): PluginCall => ({ type: "tuning", command: "STATUS", config: { ...config, ...keys } });
  bench.caller.succeed(ready({}));
  expect(bench.caller.fail(ready({ mtu: 1400 }))).toMatchObject({ code: 50, msg: expect.stringContaining('"/proc/version/x"') });
  bench.caller.succeed(ready({ mtu: 1400, dataDir: "/run/cni/tuning" }));
});

it("two containers are tuned apart", () => {
  const [one, two] = [bench.attach(v4Network()), bench.attach(v4Network())];
  const before = state(two.sandbox);
  const third = makeSandbox();
  tune(one, everything);
  expect(state(two.sandbox)).toEqual(before);
  expect(values(third, BACKLOG)).toEqual(values(two.sandbox, BACKLOG));
});
