import { chmodSync, mkdirSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { NetworkNamespace } from "../../src/link/namespace.ts";
import { waitUntilOperational } from "../../src/link/wait.ts";
import { Steps } from "../../src/support/steps.ts";
import { libc } from "../../src/sys/libc.ts";
import { Netns } from "../../src/sys/netns.ts";
import { TapQueue } from "../../src/sys/tun.ts";
import { Bench } from "../support/attach.ts";
import { DyingSteps, type Json } from "../support/call-plugin.ts";
import { FrameSocket } from "../support/frames.ts";
import { needs, supports } from "../support/kernel-features.ts";
import { leases, makeSandbox, nodeSnapshot, output, type Sandbox, temporaryDirectory } from "../support/node.ts";

const bench = new Bench();
const directory = temporaryDirectory();

interface Shown {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly master?: string;
  readonly group?: string;
  readonly ifalias?: string;
  readonly linkinfo?: { readonly info_data?: Json };
}

const show = (sandbox: Sandbox, name = "eth0"): Shown | undefined =>
  sandbox.ipJson<Shown>("link", "show").find(({ ifname }) => ifname === name);

const ipam = { type: "host-local", ranges: [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd00:91::/64" }]] };

function network(more: Json = {}): Json & { readonly type: string } {
  return { cniVersion: "1.1.0", name: "net1", type: "tap", ipam, ...more };
}

/** Opens the device as a virtual machine does. */
function openTap(sandbox: Sandbox, options: { multiQueue?: boolean } = {}): TapQueue {
  const queue = sandbox.run(() => TapQueue.open("eth0", { multiQueue: options.multiQueue ?? false, plain: true }));
  onTestFinished(() => queue[Symbol.dispose]());
  // The kernel sends nothing before it has noticed that somebody is there
  using namespace = NetworkNamespace.container(Netns.open(sandbox.path), new Steps());
  expect(waitUntilOperational(namespace, "eth0", 5000)).toBeDefined();
  return queue;
}

/** The next frame that satisfies, of those that the kernel sends. */
function readFrame(queue: TapQueue, isWanted: (frame: Buffer) => boolean): Buffer {
  const poll = Buffer.alloc(8); // struct pollfd
  poll.writeInt32LE(queue.fd, 0);
  poll.writeInt16LE(1, 4);
  const buffer = Buffer.alloc(2048);
  for (;;) {
    if (libc("poll", poll, 1n, 5000) === 0) throw new Error("no such frame in 5 s");
    const frame = buffer.subarray(0, readSync(queue.fd, buffer));
    if (isWanted(frame)) return frame;
  }
}

/** An ARP packet (RFC 826) in its frame. */
function arp(options: { operation: 1 | 2; from: string; fromIp: string; to: string; toIp: string }): Buffer {
  const mac = (text: string) => Buffer.from(text.replaceAll(":", ""), "hex");
  const ip = (text: string) => Buffer.from(text.split(".").map(Number));
  const { from, fromIp, operation, to, toIp } = options;
  const head = Buffer.from([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, operation]);
  return Buffer.concat([mac(to), mac(from), head, mac(from), ip(fromIp), mac(to), ip(toIp)]);
}

const machine = "52:54:00:00:00:55";

describe.skipIf(!supports("tun"))(`a TAP device${needs("tun")}`, () => {
  it("is there for a program to open, with the container's addresses", () => {
    const before = nodeSnapshot();
    const attached = bench.attach(network({ mtu: 1400, mac: "c2:00:00:00:00:01" }));
    const { result, sandbox, v4, who } = attached;
    expect(result.interfaces).toEqual([{ name: "eth0", mac: "c2:00:00:00:00:01", mtu: 1400, sandbox: sandbox.path }]);
    expect(show(sandbox)).toMatchObject({
      ifalias: "podlink net1 cid-1 eth0",
      group: "default",
      linkinfo: { info_data: { type: "tap", pi: false, vnet_hdr: true, multi_queue: false, persist: true } },
    });
    bench.caller.succeed({ ...who, command: "CHECK" });

    const queue = openTap(sandbox);
    // what the machine asks, the kernel answers
    writeSync(queue.fd, arp({ operation: 1, from: machine, fromIp: "10.91.0.200", to: "ff:ff:ff:ff:ff:ff", toIp: v4 }));
    const answer = readFrame(queue, (frame) => frame.readUInt16BE(12) === 0x0806 && frame.readUInt16BE(20) === 2);
    expect(answer.subarray(0, 42)).toEqual(
      arp({ operation: 2, from: "c2:00:00:00:00:01", fromIp: v4, to: machine, toIp: "10.91.0.200" }),
    );
    // and what the container sends, the machine reads
    const frames = new FrameSocket(sandbox, "eth0");
    frames.send("to the machine");
    expect(readFrame(queue, (frame) => frame.readUInt16BE(12) === 0x88b5).toString("utf8", 14)).toMatch(/^to the machine/);
    writeSync(
      queue.fd,
      Buffer.from(`${"f".repeat(12)}${machine.replaceAll(":", "")}88b5${Buffer.from("to all").toString("hex")}`, "hex"),
    );
    expect(frames.receive(5000)).toBe("to all");

    bench.detach(attached);
    expect(show(sandbox)).toBeUndefined();
    expect(nodeSnapshot()).toEqual(before);
    bench.detach(attached);
  });

  it("has several queues, an owner and a group where that is asked for", () => {
    const { sandbox, who } = bench.attach(network({ multiQueue: true, owner: 107, group: 0 }));
    const { user, group, multi_queue } = show(sandbox)?.linkinfo?.info_data ?? {};
    expect({ user: String(user), group, multi_queue }).toEqual({ user: "107", group: "root", multi_queue: true });
    for (let queues = 0; queues < 3; queues++) openTap(sandbox, { multiQueue: true });
    expect(() => openTap(sandbox)).toThrow("EINVAL");
    bench.caller.succeed({ ...who, command: "CHECK" });
    for (const keys of [{ owner: 7 }, { group: 7 }, { multiQueue: false }]) {
      expect(bench.caller.fail({ ...who, config: { ...(who.config as Json), ...keys }, command: "CHECK" }).code).toBe(999);
    }
  });

  it("takes the MAC address of the runtime before that of CNI_ARGS before the configuration's", () => {
    const macs = ["c2:00:00:00:00:01", "c2:00:00:00:00:02", "C2-00-00-00-00-03"];
    const [mac, args, runtime] = [macs[0], `MAC=${macs[1]}`, { runtimeConfig: { mac: macs[2] } }];
    expect(bench.attach(network({ mac }), {}).result.interfaces?.[0]?.mac).toBe("c2:00:00:00:00:01");
    expect(bench.attach(network({ mac }), { args }).result.interfaces?.[0]?.mac).toBe("c2:00:00:00:00:02");
    expect(bench.attach(network({ mac, ...runtime }), { args }).result.interfaces?.[0]?.mac).toBe("c2:00:00:00:00:03");
    // the reference forgets it where there are owner and group
    const owned = network({ mac, owner: 0, group: 0, selinuxContext: "" });
    expect(bench.attach(owned).result.interfaces?.[0]?.mac).toBe("c2:00:00:00:00:01");
  });

  it("is a port of a bridge in the container, whose other ports it hears", () => {
    const sandbox = makeSandbox();
    sandbox.ip("link", "add", "br0", "up", "type", "bridge");
    sandbox.ip("link", "add", "port0", "up", "master", "br0", "type", "veth", "peer", "name", "far0");
    sandbox.ip("link", "set", "far0", "up");
    const attached = bench.attach(network({ bridge: "br0", ipam: undefined }), { sandbox });
    expect(attached.result.ips).toBeUndefined();
    expect(show(sandbox)?.master).toBe("br0");
    const queue = openTap(sandbox);
    new FrameSocket(sandbox, "far0").send("by the bridge");
    expect(readFrame(queue, (frame) => frame.readUInt16BE(12) === 0x88b5).toString("utf8", 14)).toMatch(/^by the bridge/);
    bench.caller.succeed({ ...attached.who, command: "CHECK" });
    sandbox.ip("link", "set", "eth0", "nomaster");
    expect(bench.caller.fail({ ...attached.who, command: "CHECK" }).msg).toContain('its bridge is missing, expected "br0"');
  });

  it("of a name that is taken is refused, and what has the name stays", () => {
    const sandbox = makeSandbox();
    sandbox.ip("tuntap", "add", "mode", "tap", "name", "eth0");
    const before = sandbox.snapshot();
    const error = bench.caller.fail({ type: "tap", command: "ADD", netns: sandbox.path, config: network() });
    expect(error.msg).toContain('"eth0" already exists in the container');
    expect(sandbox.snapshot()).toEqual(before);
    expect(leases()).toEqual([]);
  });

  it("that is no TAP device any more is found by CHECK", () => {
    const { sandbox, who } = bench.attach(network({ ipam: undefined }));
    const { address = "" } = show(sandbox) ?? {};
    sandbox.ip("link", "del", "eth0");
    sandbox.ip("tuntap", "add", "mode", "tun", "name", "eth0");
    sandbox.ip("link", "set", "eth0", "up");
    expect(bench.caller.fail({ ...who, command: "CHECK" }).msg).toContain("eth0");
    sandbox.ip("link", "del", "eth0");
    sandbox.ip("link", "add", "eth0", "address", address, "up", "type", "veth", "peer", "name", "eth0p");
    expect(bench.caller.fail({ ...who, command: "CHECK" }).msg).toContain('its kind is "veth", expected "tun"');
  });

  it("of an ADD that is killed, after whatever change, is no hindrance", () => {
    const keys = { mtu: 1400, mac: "c2:00:00:00:00:01", owner: 0, group: 0 };
    const add = (more: object) => bench.caller.call({ type: "tap", command: "ADD", config: network(keys), ...more });
    const live = (): number => {
      const { path: netns } = makeSandbox();
      const { steps } = add({ netns });
      bench.caller.succeed({ type: "tap", command: "DEL", config: network(), netns });
      return steps.length;
    };
    live(); // the first makes the directory for leases
    const count = live();
    expect(count).toBeGreaterThan(8);
    for (let changes = 0; changes < count; changes++) {
      for (const next of ["DEL", "ADD"]) {
        const sandbox = makeSandbox();
        const who = { type: "tap", netns: sandbox.path, config: network(keys) };
        expect(add({ netns: sandbox.path, steps: new DyingSteps(changes) }).exitCode, `after ${changes}`).toBe(1);
        bench.caller.succeed({ ...who, command: next });
        if (next === "ADD") {
          expect(show(sandbox)).toMatchObject({ mtu: 1400 });
          bench.caller.succeed({ ...who, command: "DEL" });
        }
        expect(show(sandbox)).toBeUndefined();
        expect(leases(), `${next} after ${changes}`).toEqual([]);
      }
    }
  });

  it("goes without a program, in the commands of which a person could make it", () => {
    const { path: netns } = makeSandbox();
    const config = network({ mac: machine, mtu: 1400, multiQueue: true, owner: 107, group: 108, ipam: undefined });
    const { steps } = bench.caller.succeed({ type: "tap", command: "ADD", netns, config });
    const prefix = `nsenter --net=${netns} `;
    expect(steps.map((step) => step.replace(prefix, ""))).toEqual([
      "ip tuntap add mode tap name eth0 vnet_hdr multi_queue user 107 group 108",
      `ip link set eth0 address ${machine} mtu 1400`,
      "ip link set eth0 up",
      "ip link set eth0 alias 'podlink net1 cid-1 eth0' group default",
    ]);
    const other = makeSandbox();
    for (const step of steps) output("sh", "-c", step.replaceAll(netns, other.path));
    expect(show(other)).toMatchObject({ address: machine, mtu: 1400, linkinfo: { info_data: { persist: true } } });
  });
});

describe("a node without /dev/net/tun", () => {
  it("is not ready, and is told what to load and make", () => {
    libc("mount", "tmpfs", "/dev/net", "tmpfs", 0n, null);
    onTestFinished(() => void libc("umount2", "/dev/net", 2));
    const { path: netns } = makeSandbox();
    const words = 'this node has no /dev/net/tun: the kernel needs CONFIG_TUN, or, built as a module, "modprobe tun"';
    const error = bench.caller.fail({ type: "tap", command: "ADD", netns, config: network() });
    expect(error.msg).toContain(words);
    expect(error.msg).toContain('"mknod /dev/net/tun c 10 200"');
    expect(bench.caller.fail({ type: "tap", command: "STATUS", config: network() })).toMatchObject({
      code: 50,
      msg: expect.stringContaining(words),
    });
    expect(leases()).toEqual([]);
  });
});

describe.skipIf(!supports("tun"))(`an SELinux context${needs("tun")}`, () => {
  const selinuxContext = "system_u:system_r:container_t:s0";
  const config = network({ selinuxContext, multiQueue: true, mac: machine });

  it("is refused where SELinux is not enabled", () => {
    libc("mount", "tmpfs", "/sys", "tmpfs", 0n, null);
    onTestFinished(() => void libc("umount2", "/sys", 2));
    const { path: netns } = makeSandbox();
    const error = bench.caller.fail({ type: "tap", command: "ADD", netns, config });
    expect(error.msg).toContain(`SELinux context "${selinuxContext}" is asked for, and SELinux is not enabled on this node`);
    expect(error.steps).toEqual([]);
  });

  it("is what the device is made in", () => {
    // A stand-in for the kernel's part: files where SELinux has them, and an `ip` that notes what it finds there
    libc("mount", "tmpfs", "/sys", "tmpfs", 0n, null);
    onTestFinished(() => void libc("umount2", "/sys", 2));
    mkdirSync("/sys/fs/selinux", { recursive: true });
    writeFileSync("/sys/fs/selinux/enforce", "1");
    const [attribute, found] = [join(directory, "exec"), join(directory, "found")];
    writeFileSync(attribute, "");
    const real = `/proc/${process.pid}/task/${process.pid}/attr/exec`;
    libc("mount", attribute, real, null, 4096n /* MS_BIND */, null);
    onTestFinished(() => void libc("umount2", real, 2));
    const { PATH = "" } = process.env;
    writeFileSync(join(directory, "ip"), `#!/bin/sh\ncat ${attribute} > ${found}\nPATH=${PATH} exec ip "$@"\n`);
    chmodSync(join(directory, "ip"), 0o755);
    process.env.PATH = `${directory}:${PATH}`;
    onTestFinished(() => {
      process.env.PATH = PATH;
    });
    const { path: netns } = makeSandbox();
    const { steps } = bench.caller.succeed({ type: "tap", command: "ADD", netns, config });
    expect(readFileSync(found, "utf8")).toBe(selinuxContext);
    expect(readFileSync(attribute, "utf8").trim()).toBe("");
    expect(steps[0]).toBe(
      `nsenter --net=${netns} runcon ${selinuxContext} ip tuntap add mode tap name eth0 vnet_hdr multi_queue`,
    );
    bench.caller.succeed({ type: "tap", command: "DEL", netns, config });
  });
});
