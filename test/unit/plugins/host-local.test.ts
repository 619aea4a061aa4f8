import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FileLock } from "../../../src/sys/file-lock.ts";
import { TempStore } from "../ipam/temp-store.ts";
import { callIpam, type IpamCall } from "./call-ipam.ts";

type Options = Partial<Omit<IpamCall, "type" | "command">>;

const subnet = "10.1.2.0/24";
const pair = [[{ subnet }], [{ subnet: "fd00::/64" }]];

function call(temp: TempStore, { command, ipam = { subnet }, ...more }: Options & { command: string }) {
  return callIpam({ type: "host-local", command, ipam: { dataDir: temp.dataDir, ...ipam }, ...more });
}

function add(temp: TempStore, options: Options = {}) {
  return call(temp, { command: "ADD", ...options });
}

/** Without what concerns the index alone. */
const typed = (commands: readonly string[]) => commands.filter((command) => !command.startsWith("#"));
const ips = (...addresses: string[]) => ({ ips: addresses.map((address) => expect.objectContaining({ address })) });
const leaseNames = (temp: TempStore) => Object.keys(temp.files()).filter((name) => !name.startsWith("last_reserved_ip."));

describe("ADD", () => {
  it("answers with addresses, routes as they are written, and the resolver's settings", () => {
    using temp = new TempStore();
    writeFileSync(join(temp.dataDir, "resolv.conf"), "nameserver 192.0.2.1\nsearch example.com\n");
    const routes = [
      { dst: "0.0.0.0/0" },
      { dst: "10.9.0.0/16", gw: "10.1.2.9", mtu: 1400, advmss: 1300, priority: 5, table: 99, scope: 0 },
    ];
    const answer = add(temp, { ipam: { ranges: pair, routes, resolvConf: join(temp.dataDir, "resolv.conf") } });
    expect(answer).toMatchObject({ exitCode: 0, stderr: "" });
    expect(answer.json).toEqual({
      cniVersion: "1.1.0",
      ips: [
        { address: "10.1.2.2/24", gateway: "10.1.2.1" },
        { address: "fd00::2/64", gateway: "fd00::1" },
      ],
      routes,
      dns: { nameservers: ["192.0.2.1"], search: ["example.com"] },
    });
    expect(temp.files()).toMatchObject({ "10.1.2.2": "cid\r\neth0", "fd00::2": "cid\r\neth0" });
  });

  it("takes ranges of the runtime first, then the single one, then the list; keys in any case", () => {
    using temp = new TempStore();
    const ipam = { subnet, rangeStart: "10.1.2.50", gateway: "10.1.2.254", ranges: [[{ subnet: "10.1.4.0/24" }]] };
    const more = { RuntimeConfig: { IPRanges: [[{ Subnet: "10.1.3.0/24", RangeStart: "10.1.3.7" }]] } };
    expect(add(temp, { ipam, more }).json).toMatchObject({
      ips: [
        { address: "10.1.3.7/24", gateway: "10.1.3.1" },
        { address: "10.1.2.50/24", gateway: "10.1.2.254" },
        { address: "10.1.4.2/24", gateway: "10.1.4.1" },
      ],
    });
  });

  it.each([
    ["capability ips", { more: { runtimeConfig: { ips: ["10.1.2.77/16"] } } }],
    ["args.cni.ips", { more: { args: { cni: { ips: ["10.1.2.77"] } } } }],
    ["CNI_ARGS", { args: "IgnoreUnknown=1;IP=10.1.2.77;K8S_POD_NAME=x" }],
    ["CNI_ARGS with a length", { args: "IP=10.1.2.77/8;MAC=c2:11:22:33:44:55" }],
  ])("gives the address asked for by %s", (_, options) => {
    using temp = new TempStore();
    expect(add(temp, options).json).toMatchObject({ ips: [{ address: "10.1.2.77/24" }] });
  });

  it("adds up the three ways of asking", () => {
    using temp = new TempStore();
    const more = { args: { cni: { ips: ["fd00::77"] } }, runtimeConfig: { ips: ["10.1.2.88"] } };
    const answer = add(temp, { ipam: { ranges: pair }, args: "IP=10.1.2.77", more });
    expect(answer.json).toMatchObject({
      code: 7,
      msg: expect.stringContaining("failed to allocate all requested IPs: 10.1.2.88"),
    });
    expect(leaseNames(temp)).toEqual([]);
    expect(add(temp, { ipam: { ranges: pair }, args: "IP=10.1.2.77", more: { args: more.args } }).json).toMatchObject(
      ips("10.1.2.77/24", "fd00::77/64"),
    );
  });

  it.each([
    ["no ranges", { ipam: {} }, 7, "no IP ranges specified"],
    ["an empty list", { ipam: { ranges: [] } }, 7, "no IP ranges specified"],
    ["an empty set", { ipam: { ranges: [[]] } }, 7, "invalid range set 0: empty range set"],
    ["a tiny subnet", { ipam: { subnet: "10.1.2.0/31" } }, 7, "network 10.1.2.0/31 too small to allocate from"],
    ["overlap", { ipam: { subnet, ranges: [[{ subnet: "10.1.0.0/16" }]] } }, 7, "range set 0 overlaps with 1"],
    ["a wrong type", { ipam: { subnet: 5 } }, 7, '"ipam.subnet"'],
    ["a wrong route", { ipam: { subnet, routes: [{ dst: "10.1.2.3" }] } }, 7, '"ipam.routes[0].dst"'],
    ["a gateway asked for", { args: "IP=10.1.2.1" }, 7, "requested ip 10.1.2.1 is subnet's gateway"],
    ["an address of no range", { args: "IP=10.1.3.1" }, 7, "failed to allocate all requested IPs: 10.1.3.1"],
    ["nonsense asked for", { args: "IP=fish" }, 7, 'IP in CNI_ARGS is "fish"'],
    [
      "no resolv.conf",
      { ipam: { subnet, resolvConf: "/nowhere/resolv.conf" } },
      999,
      'Cannot read resolvConf "/nowhere/resolv.conf": ENOENT',
    ],
    ["an endless resolv.conf", { ipam: { subnet, resolvConf: "/dev/zero" } }, 999, '"/dev/zero" is not a regular file'],
    [
      "two addresses of a family for an old version",
      { cniVersion: "0.2.0", ipam: { ranges: [[{ subnet }], [{ subnet: "10.1.3.0/24" }]] } },
      7,
      "CNI version 0.2.0 does not support more than 1 address per family",
    ],
  ])("refuses %s and changes nothing", (_, options, code, message) => {
    using temp = new TempStore();
    rmSync(temp.dir, { recursive: true });
    const answer = add(temp, options);
    expect(answer).toMatchObject({ exitCode: 1, commands: [], json: { code, msg: expect.stringContaining(message) } });
    expect(existsSync(temp.dir)).toBe(false);
  });

  it("allows an old version one address of each family", () => {
    using temp = new TempStore();
    expect(add(temp, { cniVersion: "0.2.0", ipam: { ranges: pair } }).json).toMatchObject({
      ip4: { ip: "10.1.2.2/24" },
      ip6: { ip: "fd00::2/64" },
    });
  });

  it("is refused a second time, asked for or not, and the first lease stays", () => {
    using temp = new TempStore();
    add(temp);
    const msg =
      'Cannot lease an address for "cid"/"eth0": 10.1.2.2 has been allocated to cid, duplicate allocation is not allowed';
    expect(add(temp).json).toMatchObject({ code: 999, msg });
    expect(add(temp, { args: "IP=10.1.2.9" }).json).toMatchObject({ code: 999, msg });
    expect(add(temp, { ifname: "net1" }).json).toMatchObject(ips("10.1.2.3/24"));
    expect(leaseNames(temp)).toEqual(["10.1.2.2", "10.1.2.3"]);
  });

  it("answers code 11 where trying later can help: a full range, an address in use, a lock that is held", () => {
    using temp = new TempStore({ "10.1.2.2": "other\r\neth0" });
    expect(add(temp, { ipam: { subnet: "10.1.2.0/30" } }).json).toMatchObject({
      code: 11,
      msg: 'Cannot lease an address for "cid"/"eth0": no IP addresses available in range set: 10.1.2.1-10.1.2.2',
    });
    expect(add(temp, { args: "IP=10.1.2.2" }).json).toMatchObject({
      code: 11,
      msg: expect.stringMatching(/requested IP address 10\.1\.2\.2 is not available .*: held by "other"\/"eth0"$/),
    });
    using _held = FileLock.acquire(join(temp.dir, "lock"), { timeoutMs: 0 });
    expect(add(temp, { ipam: { subnet, lockTimeoutMs: 0 } }).json).toMatchObject({
      code: 11,
      msg: expect.stringContaining(`held by process ${process.pid} (`),
    });
    expect(leaseNames(temp)).toEqual(["10.1.2.2"]);
  });

  it("gives back exactly what it took when the call fails later", () => {
    using temp = new TempStore({ "192.168.0.1": "cid\r\neth0" });
    const { json, commands } = add(temp, { ipam: { ranges: pair }, failLater: true });
    expect(json).toMatchObject({ code: 999, msg: expect.stringMatching(/^later, .*10\.1\.2\.2.*fd00::2/) });
    expect(leaseNames(temp)).toEqual(["192.168.0.1"]);
    expect(typed(commands).slice(-2)).toEqual([`rm -f ${temp.dir}/10.1.2.2`, `rm -f ${temp.dir}/fd00::2`]);
  });

  it("notes keys nobody knows inside ipam, and none outside of it", () => {
    using temp = new TempStore();
    const answer = add(temp, { ipam: { subnet, exclude: ["10.1.2.3"] }, more: { bridge: "cni0", vlan: 5 } });
    expect(answer.stderr).toBe('host-local: ignoring unknown key "ipam.exclude"\n');
  });
});

describe("CHECK", () => {
  const prevResult = { cniVersion: "1.1.0", ips: [{ address: "10.1.2.2/24" }, { address: "203.0.113.1/24" }] };

  it("passes right after ADD, whatever else is in prevResult", () => {
    using temp = new TempStore();
    add(temp);
    expect(call(temp, { command: "CHECK", more: { prevResult } })).toMatchObject({ exitCode: 0, commands: [] });
  });

  it("says what was expected and what is there", () => {
    using temp = new TempStore({ "10.1.2.3": "cid\r\neth0" });
    expect(call(temp, { command: "CHECK", more: { prevResult } }).json).toMatchObject({
      code: 999,
      msg: `Cannot find the leases of "cid"/"eth0": expected "${temp.dir}/10.1.2.2" to name it, but the file is not there; it holds 10.1.2.3`,
    });
  });

  it("wants a lease even when prevResult has lost the address", () => {
    using temp = new TempStore();
    const empty = { prevResult: { cniVersion: "1.1.0" } };
    expect(call(temp, { command: "CHECK", more: empty }).json).toMatchObject({
      msg: expect.stringContaining("expected at least one"),
    });
    add(temp);
    expect(call(temp, { command: "CHECK", more: empty }).exitCode).toBe(0);
  });
});

describe("DEL", () => {
  it("releases the attachment's addresses of both families, and succeeds again", () => {
    using temp = new TempStore({ "10.1.2.9": "cid\r\nnet1" });
    add(temp, { ipam: { ranges: pair } });
    for (const _ of [1, 2]) {
      expect(call(temp, { command: "DEL", ipam: { ranges: pair } })).toMatchObject({ exitCode: 0, json: undefined });
      expect(leaseNames(temp)).toEqual(["10.1.2.9"]);
    }
  });

  it("needs no ranges, and makes no directory", () => {
    using temp = new TempStore();
    add(temp);
    expect(call(temp, { command: "DEL", ipam: { subnet: "10.1.2.3/33", ranges: [[]] }, args: "IP=fish" }).exitCode).toBe(0);
    expect(leaseNames(temp)).toEqual([]);
    rmSync(temp.dir, { recursive: true });
    expect(call(temp, { command: "DEL" })).toMatchObject({ exitCode: 0, commands: [] });
    expect(existsSync(temp.dir)).toBe(false);
    expect(call(temp, { command: "DEL", ipam: { dataDir: "/proc/version/nowhere" } }).exitCode).toBe(0);
  });

  it("fails with code 11 while the lock is held", () => {
    using temp = new TempStore({ "10.1.2.2": "cid\r\neth0" });
    using _held = FileLock.acquire(join(temp.dir, "lock"), { timeoutMs: 0 });
    expect(call(temp, { command: "DEL", ipam: { lockTimeoutMs: 0 } }).json).toMatchObject({ code: 11 });
  });
});

describe("GC", () => {
  it("releases what is not valid", () => {
    using temp = new TempStore({ "10.1.2.2": "a\r\neth0", "10.1.2.3": "b\r\neth0", "10.1.2.4": "" });
    const more = { "cni.dev/valid-attachments": [{ containerID: "a", ifname: "eth0" }] };
    const { exitCode, stderr, commands } = call(temp, { command: "GC", more, ipam: {} });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: expect.stringContaining("10.1.2.4") });
    expect(typed(commands)).toEqual([`flock ${temp.dir}/lock true`, `rm -f ${temp.dir}/10.1.2.4`, `rm -f ${temp.dir}/10.1.2.3`]);
    expect(leaseNames(temp)).toEqual(["10.1.2.2"]);
  });

  it("has nothing to do without a directory", () => {
    using temp = new TempStore();
    rmSync(temp.dir, { recursive: true });
    expect(call(temp, { command: "GC", more: { "cni.dev/valid-attachments": null } })).toMatchObject({
      exitCode: 0,
      commands: [],
    });
    expect(existsSync(temp.dir)).toBe(false);
  });
});

describe("STATUS", () => {
  it("is good while there is room, and makes nothing", () => {
    using temp = new TempStore();
    rmSync(temp.dir, { recursive: true });
    expect(call(temp, { command: "STATUS" })).toMatchObject({ exitCode: 0, commands: [], json: undefined });
    expect(existsSync(temp.dir)).toBe(false);
  });

  it("is 50 when a range set is full", () => {
    using temp = new TempStore();
    const ipam = { ranges: [[{ subnet: "10.1.2.0/30" }], [{ subnet: "fd00::/64" }]] };
    add(temp, { ipam });
    expect(call(temp, { command: "STATUS", ipam }).json).toMatchObject({
      code: 50,
      msg: "no IP addresses available in range set: 10.1.2.1-10.1.2.2",
    });
  });

  it("is 50 when leases cannot be written", () => {
    using temp = new TempStore();
    writeFileSync(join(temp.dataDir, "file"), "");
    const dataDir = join(temp.dataDir, "file");
    expect(call(temp, { command: "STATUS", ipam: { subnet, dataDir } }).json).toMatchObject({
      code: 50,
      msg: `Cannot write leases into "${dataDir}/net1": "${dataDir}" is not a directory`,
    });
    expect(call(temp, { command: "STATUS", ipam: { subnet, dataDir: "/proc/sys/net" } }).json).toMatchObject({ code: 50 });
  });

  it("is 7 when the configuration is wrong", () => {
    using temp = new TempStore();
    expect(call(temp, { command: "STATUS", ipam: {} }).json).toMatchObject({ code: 7 });
  });
});
