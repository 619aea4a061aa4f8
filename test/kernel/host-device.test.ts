import { mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { dirname } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { libc } from "../../src/sys/libc.ts";
import { type Attached, Bench } from "../support/attach.ts";
import { DyingSteps, type Json } from "../support/call-plugin.ts";
import { ipJson, leases, makeSandbox, nodeSnapshot, output, type Sandbox } from "../support/node.ts";
import { returnToHost } from "../support/return-to-host.ts";

const bench = new Bench();

const HOME_MAC = "52:54:00:00:00:06";

interface Shown {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly ifalias?: string;
  readonly flags: readonly string[];
}

const show = (name: string): Shown | undefined => ipJson<Shown>("link", "show").find(({ ifname }) => ifname === name);
const inside = (sandbox: Sandbox): (Shown | undefined)[] =>
  sandbox.ipJson<Shown>("link", "show").filter(({ ifname }) => ifname !== "lo");

function network(more: Json = {}): Json & { readonly type: string } {
  const ipam = { type: "host-local", ranges: [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd00:91::/64" }]] };
  return { cniVersion: "1.1.0", name: "net1", type: "host-device", device: "ens6", ipam, ...more };
}

/** A container that ends without DEL. */
function endNamespace(sandbox: Sandbox, options: { as: string }): void {
  returnToHost(sandbox, options);
  sandbox[Symbol.dispose]();
}

/** The wire behind ens6, with a neighbour at its other end. */
let neighbour: Sandbox;

beforeEach(() => {
  neighbour = makeSandbox();
  output("ip", "link", "add", "ens6", "address", HOME_MAC, "mtu", "1400", "type", "veth", "peer", "name", "far0");
  output("ip", "link", "set", "ens6", "up");
  output("ip", "link", "set", "far0", "netns", neighbour.path);
  neighbour.ip("link", "set", "far0", "up");
  neighbour.ip("address", "add", "10.91.0.200/24", "dev", "far0");
  neighbour.ip("address", "add", "fd00:91::200/64", "dev", "far0", "nodad");
});

const home = { ifname: "ens6", address: HOME_MAC, mtu: 1400, flags: expect.arrayContaining(["UP"]) };

function expectHome(): void {
  expect(show("ens6")).toMatchObject(home);
  expect(show("ens6")).not.toHaveProperty("ifalias");
}

function expectPackets({ sandbox, v4, v6 }: Attached): void {
  expect(sandbox.ping("10.91.0.200")).toBe(true);
  expect(sandbox.ping("fd00:91::200")).toBe(true);
  expect(neighbour.ping(v4)).toBe(true);
  expect(neighbour.ping(v6)).toBe(true);
}

describe("a device of the host", () => {
  it("goes to the container under its name there, and comes home as it was", () => {
    const before = nodeSnapshot();
    const attached = bench.attach(network(), { ifname: "net0" });
    const { result, sandbox, who } = attached;
    expect(result.interfaces).toEqual([{ name: "net0", mac: HOME_MAC, mtu: 1400, sandbox: sandbox.path }]);
    expect(result.ips?.map((ip) => ip.interface)).toEqual([0, 0]);
    expect(show("ens6")).toBeUndefined();
    expect(inside(sandbox)).toMatchObject([{ ifname: "net0", flags: expect.arrayContaining(["UP"]) }]);
    expectPackets(attached);
    bench.caller.succeed({ ...who, command: "CHECK" });
    bench.detach(attached);
    expectHome();
    expect(inside(sandbox)).toEqual([]);
    expect(nodeSnapshot()).toEqual(before);
    bench.detach(attached);
  });

  it("has all that brings it home in its alias, for people too", () => {
    const { sandbox } = bench.attach(network());
    const [link] = inside(sandbox);
    expect(link?.ifalias).toMatch(
      /^podlink host-device\/1 pl[a-z2-7]{13} name=ens6 mtu=1400 mac=52:54:00:00:00:06 up for net1 cid-1 eth0$/,
    );
  });

  it("moves and is named in one request, and up only when it has its addresses", () => {
    const sandbox = makeSandbox();
    const { steps } = bench.caller.succeed({ type: "host-device", command: "ADD", netns: sandbox.path, config: network() });
    const moves = steps.filter((step) => step.includes(" netns "));
    expect(moves).toEqual([
      expect.stringMatching(
        new RegExp(`^ip link set ens6 alias 'podlink \\(adding\\) host-device/1 .*' netns ${sandbox.path} name eth0$`),
      ),
    ]);
    expect(steps[0]).toMatch(/^ip link set ens6 alias 'podlink \(adding\) /);
    expect(steps.at(-1)).toMatch(/ip link set eth0 alias 'podlink host-device\/1 /);
    expect(steps.findIndex((step) => step.endsWith("eth0 up"))).toBeGreaterThan(
      steps.findIndex((step) => step.includes("address add fd00:91::")),
    );
  });

  it.each([
    ["up", "ens6 up", ["UP"]],
    ["down", "ens6 down", []],
  ])("that was %s is so again, with MTU, MAC address and alias of its own, whatever the container did", (_was, state, flags) => {
    output("ip", "link", "set", ...state.split(" "));
    output("ip", "link", "set", "ens6", "alias", "uplink to rack 7, port ü");
    const attached = bench.attach(network());
    attached.sandbox.ip("link", "set", "eth0", "down");
    attached.sandbox.ip("link", "set", "eth0", "address", "52:54:00:ff:ff:ff", "mtu", "1300", "name", "other9");
    bench.detach(attached);
    const link = show("ens6");
    expect(link).toMatchObject({ address: HOME_MAC, mtu: 1400, ifalias: "uplink to rack 7, port ü" });
    expect(link?.flags.filter((flag) => flag === "UP")).toEqual(flags);
    expect(inside(attached.sandbox)).toEqual([]);
  });

  it("goes without addresses too", () => {
    const { result, sandbox } = bench.attach(network({ ipam: undefined, dns: { nameservers: ["10.0.0.53"] } }));
    expect(result).toEqual({
      cniVersion: "1.1.0",
      interfaces: [{ name: "eth0", mac: HOME_MAC, mtu: 1400, sandbox: sandbox.path }],
      dns: { nameservers: ["10.0.0.53"] },
    });
  });
});

describe("a name that is taken", () => {
  it("in the container: an error, and nothing is moved", () => {
    const sandbox = makeSandbox();
    sandbox.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0p");
    const error = bench.caller.fail({ type: "host-device", command: "ADD", netns: sandbox.path, config: network() });
    expect(error).toMatchObject({ code: 999, msg: expect.stringContaining('"eth0" already exists in the container'), steps: [] });
    expectHome();
    expect(leases()).toEqual([]);
  });

  it("in the container, since just now: the kernel's half of a move is taken back", () => {
    const sandbox = makeSandbox();
    class Late extends DyingSteps {
      override run<T>(command: string, change: () => T): T {
        if (command.includes(" netns ") && command.endsWith("name eth0")) {
          sandbox.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0p");
        }
        return super.run(command, change);
      }
    }
    const error = bench.caller.fail({
      type: "host-device",
      command: "ADD",
      netns: sandbox.path,
      config: network(),
      steps: new Late(99),
    });
    expect(error.msg).toContain('Cannot move device "ens6" into the container: the name "eth0" is taken in the container');
    expectHome();
    expect(sandbox.ipJson<Shown>("link", "show").map(({ ifname }) => ifname)).toEqual(["lo", "eth0p", "eth0"]);
  });

  it.each(["eth0", "unused0"])(
    "at home, beside %s: it comes home under another, and gets its own when that is free",
    (beside) => {
      const attached = bench.attach(network());
      output("ip", "link", "add", "ens6", "type", "veth", "peer", "name", beside);
      const { stderr } = bench.caller.succeed({ ...attached.who, command: "DEL" });
      expect(stderr).toMatch(/Device "ens6" is home as "\w+": another link has its name/);
      const [, name = ""] = /home as "(\w+)"/.exec(stderr) ?? [];
      expect(show(name)).toMatchObject({ address: HOME_MAC, mtu: 1400, flags: expect.arrayContaining(["UP"]) });
      expect(inside(attached.sandbox)).toEqual([]);
      expect(leases()).toEqual([]);
      output("ip", "link", "del", "ens6");
      bench.detach(attached);
      expectHome();
    },
  );
});

describe("a container that ended without DEL", () => {
  it.each([
    ["dev7", "the kernel found its name taken"],
    ["eth0", "the host has no such name"],
  ])("left the device to the host as %s: DEL restores it", (as) => {
    const attached = bench.attach(network());
    attached.sandbox.ip("link", "set", "eth0", "mtu", "1280");
    endNamespace(attached.sandbox, { as });
    expect(show("ens6")).toBeUndefined();
    bench.detach(attached);
    expectHome();
    expect(show(as)).toBeUndefined();
    expect(leases()).toEqual([]);
  });

  it.each([
    ["no namespace is named", ""],
    ["the namespace is gone", "/run/netns/gone"],
    ["a file is left of it", "/etc/hostname"],
  ])("DEL when %s: the device is restored and the lease is free", (_title, netns) => {
    const attached = bench.attach(network());
    endNamespace(attached.sandbox, { as: "dev7" });
    for (let times = 0; times < 2; times++) {
      bench.caller.succeed({ ...attached.who, command: "DEL", env: { CNI_NETNS: netns } });
      expectHome();
      expect(leases()).toEqual([]);
    }
  });

  it("and whose path leads to another container now: that one's device stays", () => {
    const first = bench.attach(network());
    endNamespace(first.sandbox, { as: "dev7" });
    const second = bench.attach(network({ device: "ens6" }), { containerId: "cid-second" });
    expectPackets(second);
    bench.caller.succeed({ ...first.who, command: "DEL", netns: second.sandbox.path });
    expect(inside(second.sandbox)).toMatchObject([{ ifname: "eth0" }]);
    expect(leases()).toHaveLength(2);
    bench.detach(second);
    expectHome();
    expect(leases()).toEqual([]);
  });

  it("while it was alive nobody can say where the device is: the lease is free, and the device comes with the next DEL or GC", () => {
    const attached = bench.attach(network());
    bench.caller.succeed({ ...attached.who, command: "DEL", env: { CNI_NETNS: "" } });
    expect(leases()).toEqual([]);
    endNamespace(attached.sandbox, { as: "dev%d" });
    bench.caller.succeed({ type: "host-device", command: "GC", config: network({ "cni.dev/valid-attachments": [] }) });
    expectHome();
  });

  it("GC restores devices of stale attachments of the network, and no others", () => {
    const attachments = ["stale", "valid"].map((id, i) => {
      output("ip", "link", "add", `hd${i}`, "type", "veth", "peer", "name", `hd${i}p`);
      return bench.attach(network({ device: `hd${i}` }), { containerId: id });
    });
    output("ip", "link", "add", "hd2", "type", "veth", "peer", "name", "hd2p");
    const other = bench.attach(network({ device: "hd2", name: "net2" }), { containerId: "stale" });
    for (const [i, { sandbox }] of [...attachments, other].entries()) endNamespace(sandbox, { as: `dev${i}` });
    const valid = [{ containerID: "valid", ifname: "eth0" }];
    bench.caller.succeed({ type: "host-device", command: "GC", config: network({ "cni.dev/valid-attachments": valid }) });
    expect(["hd0", "hd1", "hd2", "dev1", "dev2"].filter((name) => show(name) !== undefined)).toEqual(["hd0", "dev1", "dev2"]);
    expect(leases()).toEqual(["net1/10.91.0.3", "net1/fd00:91::3", "net2/10.91.0.2", "net2/fd00:91::2"]);
  });

  it("an ADD of the next one by the device's name, or MAC address, finds it", () => {
    for (const wish of [{ device: "ens6" }, { device: "", hwaddr: HOME_MAC.toUpperCase() }]) {
      const first = bench.attach(network());
      first.sandbox.ip("link", "set", "eth0", "down");
      first.sandbox.ip("link", "set", "eth0", "address", "52:54:00:ff:ff:ff");
      endNamespace(first.sandbox, { as: "dev7" });
      const next = bench.attach(network(wish));
      expect(next.result.interfaces).toMatchObject([{ mac: HOME_MAC, mtu: 1400 }]);
      bench.detach(next);
      expectHome();
      bench.detach(first);
    }
  });
});

describe("an ADD", () => {
  it("that is killed, after whatever change, leaves what DEL or the next ADD brings home", () => {
    const add = (more: object) => bench.caller.call({ type: "host-device", command: "ADD", config: network(), ...more });
    const live = (): number => {
      const { path: netns } = makeSandbox();
      const { steps } = add({ netns });
      bench.caller.succeed({ type: "host-device", command: "DEL", config: network(), netns });
      return steps.length;
    };
    live(); // the first makes the directory for leases
    const count = live();
    expect(count).toBeGreaterThan(8);
    for (let changes = 0; changes < count; changes++) {
      for (const next of ["DEL", "ADD"]) {
        const sandbox = makeSandbox();
        const who = { type: "host-device", netns: sandbox.path, config: network() };
        expect(add({ netns: sandbox.path, steps: new DyingSteps(changes) }).exitCode, `after ${changes}`).toBe(1);
        bench.caller.succeed({ ...who, command: next });
        if (next === "ADD") {
          expect(inside(sandbox), `ADD after ${changes}`).toMatchObject([{ ifname: "eth0" }]);
          bench.caller.succeed({ ...who, command: "DEL" });
        }
        expectHome();
        expect(leases(), `${next} after ${changes}`).toEqual([]);
      }
    }
  });

  it("that IPAM refuses brings the device home", () => {
    const ipam = { type: "host-local", ranges: [[{ subnet: "10.91.0.0/24", rangeStart: "10.91.0.9", rangeEnd: "10.91.0.9" }]] };
    output("ip", "link", "add", "ens7", "type", "veth", "peer", "name", "ens7p");
    bench.attach(network({ ipam, device: "ens7" }), { containerId: "other" });
    const sandbox = makeSandbox();
    bench.caller.fail({ type: "host-device", command: "ADD", netns: sandbox.path, config: network({ ipam }) });
    expectHome();
    expect(inside(sandbox)).toEqual([]);
  });

  it("of what another container has says so", () => {
    bench.attach(network());
    const { path: netns } = makeSandbox();
    const error = bench.caller.fail({ type: "host-device", command: "ADD", containerId: "late", netns, config: network() });
    expect(error.msg).toContain('device "ens6" is not on the host: it does not exist, or another container has it');
  });

  it("of a device that the kernel moves nowhere leaves it as it is", () => {
    output("ip", "link", "add", "br7", "type", "bridge");
    const before = nodeSnapshot();
    for (const device of ["lo", "br7"]) {
      const { path: netns } = makeSandbox();
      const error = bench.caller.fail({ type: "host-device", command: "ADD", netns, config: network({ device }) });
      expect(error.msg).toContain(`Cannot move device "${device}" into the container`);
    }
    expect(nodeSnapshot()).toEqual(before);
  });
});

describe("CHECK", () => {
  it.each<[string, (sandbox: Sandbox) => void, string]>([
    ["another MAC address", ({ ip }) => ip("link", "set", "eth0", "address", "52:54:00:ff:ff:ff"), "its MAC address"],
    ["another MTU", ({ ip }) => ip("link", "set", "eth0", "mtu", "1280"), "its MTU is 1280, expected 1400"],
    ["another device", ({ ip }) => ip("link", "set", "eth0", "alias", "podlink somebody's"), "what it is lent for is missing"],
    ["no device", ({ ip }) => ip("link", "set", "eth0", "down", "name", "eth7"), '"eth0" in the container'],
  ])("finds %s", (_title, damage, words) => {
    const { sandbox, who } = bench.attach(network());
    damage({ ip: (...parameters: string[]) => sandbox.ip(...parameters) } as Sandbox);
    expect(bench.caller.fail({ ...who, command: "CHECK" }).msg).toContain(words);
  });
});

/** Hides the machine's /sys behind a made-up one, in this process's own mount namespace. */
function makeUpSys(entries: Readonly<Record<string, string | undefined>>): void {
  libc("mount", "tmpfs", "/sys", "tmpfs", 0n, null);
  for (const [path, target] of Object.entries(entries)) {
    mkdirSync(target === undefined ? path : dirname(path), { recursive: true });
    if (target !== undefined) symlinkSync(target, path);
  }
}

describe("a device that sysfs tells of", () => {
  const slot = "/sys/devices/pci0000:00/0000:00:06.0";
  const sfDevice = "/sys/devices/pci0000:00/0000:00:08.0/mlx5_core.sf.4";
  beforeEach(() => {
    makeUpSys({
      [`${slot}/net/ens6`]: undefined,
      "/sys/bus/pci/devices/0000:00:06.0": slot,
      "/sys/devices/pci0000:00/0000:00:07.0/virtio3/net/ens6": undefined,
      "/sys/bus/pci/devices/0000:00:07.0": "/sys/devices/pci0000:00/0000:00:07.0",
      [`${sfDevice}/net/ens6`]: undefined,
      "/sys/bus/auxiliary/devices/mlx5_core.sf.4": sfDevice,
      ...Object.fromEntries(
        ["vfio-pci", "uio_pci_generic", "igb_uio", "e1000"].flatMap((driver, i) => [
          [`/sys/bus/pci/drivers/${driver}`, undefined],
          [`/sys/bus/pci/devices/0000:01:0${i}.0/driver`, `/sys/bus/pci/drivers/${driver}`],
        ]),
      ),
    });
    return () => libc("umount2", "/sys", 2);
  });

  const pci = (id: string) => ({ device: "", pciBusID: id });
  const handed = (deviceID: string, more: Json = {}) => ({ device: "", ...more, runtimeConfig: { deviceID } });
  it.each<[string, Json, string | undefined]>([
    ["by its path", { device: "", kernelpath: slot }, undefined],
    ["by its place on the PCI bus", pci("0000:00:06.0"), "0000:00:06.0"],
    ["by that of a virtio device", pci("0000:00:07.0"), "0000:00:07.0"],
    ["by the runtime's choice on the PCI bus", handed("0000:00:06.0", { pciBusID: "0000:01:00.0" }), "0000:00:06.0"],
    ["by the runtime's choice on the auxiliary bus", handed("mlx5_core.sf.4"), undefined],
  ])("is found %s", (_title, keys, pciID) => {
    const attached = bench.attach(network(keys));
    const { result, sandbox, who } = attached;
    const link = { name: "eth0", mac: HOME_MAC, mtu: 1400, sandbox: sandbox.path, ...(pciID === undefined ? {} : { pciID }) };
    expect(result.interfaces).toEqual([link]);
    expectPackets(attached);
    bench.caller.succeed({ ...who, command: "CHECK" });
    bench.detach(attached);
    expectHome();
    // and gone for good, which is no reason for DEL to fail
    libc("mount", "tmpfs", "/sys/bus", "tmpfs", 0n, null);
    bench.detach(attached);
    libc("umount2", "/sys/bus", 2);
  });

  it.each(["0000:01:00.0", "0000:01:01.0", "0000:01:02.0"])(
    "and a program in user space drives is left where it is: %s",
    (id) => {
      const before = nodeSnapshot();
      for (const keys of [pci(id), handed(id)]) {
        const { result, sandbox, who } = bench.attach(network(keys));
        expect(result.interfaces).toEqual([{ name: "eth0", sandbox: sandbox.path, pciID: id }]);
        expect(result.ips?.map((ip) => ip.interface)).toEqual([0, 0]);
        expect(leases()).toHaveLength(2);
        expect(inside(sandbox)).toEqual([]);
        bench.caller.succeed({ ...who, command: "CHECK" });
        bench.caller.succeed({ ...who, command: "DEL" });
        expect(leases()).toEqual([]);
        expect(bench.attach(network({ ...keys, ipam: undefined })).result).toMatchObject({ interfaces: [{ pciID: id }] });
      }
      expect(nodeSnapshot()).toEqual({ ...(before as Json), leases: [] });
    },
  );

  it.each<[string, Json, string]>([
    ["has no interface", pci("0000:01:03.0"), 'a network interface of "/sys/bus/pci/devices/0000:01:03.0" is not on the host'],
    ["is on no bus", handed("0000:09:00.0"), 'runtime config DeviceID "0000:09:00.0" not found or unsupported'],
    ["is on another bus", pci("mlx5_core.sf.4"), 'PCI device "mlx5_core.sf.4" not found'],
  ])("and %s is refused", (_title, keys, words) => {
    const { path: netns } = makeSandbox();
    const error = bench.caller.fail({ type: "host-device", command: "ADD", netns, config: network(keys) });
    expect(error.msg).toContain(words);
    expect(readFileSync("/proc/net/dev", "utf8")).toContain("ens6:");
  });
});
