import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { recordFromJson } from "../../src/dhcp-daemon/record.ts";
import { recordKey } from "../../src/ipam/dhcp-records.ts";
import type { Json } from "../support/call-plugin.ts";
import { fakeShell } from "../support/fake-shell.ts";
import { damaged, expectHarmless } from "../support/fuzz/damaged.ts";
import { FuzzedType } from "../support/fuzz/fuzzed-type.ts";
import { hostileBytes, hostileText } from "../support/fuzz/hostile.ts";
import { protectMachine } from "../support/fuzz/machine.ts";
import { type Mutation, mutate, mutations } from "../support/fuzz/mutations.ts";
import { notForEver, Tried, tryAll, watchForHangs } from "../support/fuzz/runs.ts";
import { expectNoCrash, WatchedHost } from "../support/fuzz/watched-host.ts";
import { freshNode } from "../support/node.ts";

// Files of podlink's own state that somebody damaged, or wrote to do harm: what is read is never a reason to crash, to hang, or to change
// anything that is not the attachment's.

let host: WatchedHost;
beforeAll(() => {
  protectMachine();
  host = new WatchedHost("/tmp/bin");
});
beforeEach(freshNode);
watchForHangs();

describe("leases", () => {
  const tried = new Tried("directories of leases");
  const directory = "/var/lib/cni/networks/net1";
  const config = {
    cniVersion: "1.1.0",
    name: "net1",
    type: "bridge",
    ipam: { type: "host-local", ranges: [[{ subnet: "10.90.9.0/28" }], [{ subnet: "fd00:9::/124" }]] },
  };

  function lease(command: string, more: Json = {}, containerId = "cid-1"): { exitCode: number; stdout: string } {
    const env = {
      CNI_COMMAND: command,
      ...(["GC", "STATUS"].includes(command)
        ? {}
        : { CNI_CONTAINERID: containerId, CNI_IFNAME: "eth0", CNI_NETNS: "/run/netns/x" }),
    };
    return host.call("host-local", { env, stdin: Buffer.from(JSON.stringify({ ...config, ...more })) });
  }
  const addresses = (stdout: string): string[] =>
    JSON.parse(stdout).ips.map((ip: { address: string }) => ip.address.split("/")[0]);

  it("that were damaged give nobody an address twice, and are no obstacle", () => {
    const name = fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: 2, max: 14 }).map((last) => `10.90.9.${last}`) },
      { weight: 2, arbitrary: fc.integer({ min: 2, max: 14 }).map((last) => `fd00:9::${last.toString(16)}`) },
      fc.constantFrom(
        "last_reserved_ip.0",
        "last_reserved_ip.1",
        "lock",
        "10.90.9.300",
        "10.90.9.2.tmp",
        ".10.90.9.2",
        "fd00-9--2",
        "x",
        "__proto__",
      ),
    );
    const sample = fc.constantFrom("cid-2\r\neth0", "cid-2", "cid-1\r\neth0", "10.90.9.5", "");
    const content = fc.oneof(
      sample.map((text) => Buffer.from(text)),
      hostileBytes(sample),
      hostileText.map((text) => Buffer.from(text)),
    );
    const shell = fakeShell({ env: { NETCONFPATH: "/nowhere" } });
    const input = fc.record({
      files: fc.array(fc.tuple(name, content), { maxLength: 4 }),
      kind: fc.constantFrom("file", "file", "file", "directory"),
    });
    tryAll(input, {
      weight: 5,
      holds({ files, kind }) {
        for (const top of ["/var/lib/cni", "/run/cni"]) rmSync(top, { recursive: true, force: true });
        mkdirSync(directory, { recursive: true });
        for (const [file, bytes] of files) {
          if (existsSync(join(directory, file))) continue;
          if (kind === "directory" && file !== "lock") mkdirSync(join(directory, file));
          else writeFileSync(join(directory, file), bytes);
        }
        expectHarmless(shell.type("list"));
        const first = lease("ADD", {}, "cid-first");
        tried.count(first.exitCode === 0 ? "leased" : "refused");
        if (first.exitCode === 0) {
          const second = lease("ADD", {}, "cid-second");
          if (second.exitCode === 0)
            expect(addresses(second.stdout).filter((one) => addresses(first.stdout).includes(one))).toEqual([]);
          const prevResult = JSON.parse(first.stdout);
          expect(lease("CHECK", { prevResult }, "cid-first").exitCode).toBe(0);
        }
        for (const id of ["cid-first", "cid-second", "cid-1"]) expect(lease("DEL", {}, id).exitCode).toBe(0);
        lease("STATUS");
        expect(lease("GC", { "cni.dev/valid-attachments": [] }).exitCode).toBe(0);
        expect(lease("ADD").exitCode, "after GC there is an address").toBe(0);
      },
    });
    expect(tried.of("leased")).toBeGreaterThan(0);
  });
});

describe("backups of type tuning", () => {
  const tried = new Tried("backups of type tuning");

  it("that mean no good change nothing but what that type changes, and go", () => {
    const fuzzed = new FuzzedType("tuning", host);
    fuzzed.setUp();
    const path = "/run/cni/tuning/cid-1_eth0.json";
    const config = Buffer.from(JSON.stringify(fuzzed.config("1.1.0")));
    expect(fuzzed.call("ADD", config).exitCode).toBe(0);
    const sample: unknown = JSON.parse(readFileSync(path, "utf8"));
    fuzzed.call("DEL", config);
    const outside = [
      "net/../kernel/hostname",
      "../../tmp/bystander",
      "net/./x",
      "net//x",
      "kernel/hostname",
      "/etc/passwd",
      "net/\0",
    ];
    const withPath = fc.tuple(fc.constantFrom(...outside), hostileText).map(([place, before]) => {
      const change: Json = { ...(sample as Json) };
      change.podlink = { ...(change.podlink as Json), sysctls: [{ path: place, before, after: "x" }] };
      return Buffer.from(JSON.stringify(change));
    });
    const keys = ["mac", "mtu", "promisc", "allmulti", "txQLen", "podlink", "place", "sysctls", "path", "before", "after"];
    writeFileSync("/tmp/bystander", "untouched");
    tryAll(fc.tuple(fc.oneof(damaged(sample, keys), withPath), fc.constantFrom("DEL", "DEL", "GC")), {
      holds([bytes, command]) {
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, bytes);
        const stdin =
          command === "GC" ? Buffer.from(JSON.stringify({ ...fuzzed.config("1.1.0"), "cni.dev/valid-attachments": [] })) : config;
        const { exitCode, stdout, stderr, report } = fuzzed.call(command, stdin);
        tried.count(exitCode === 0 ? "accepted" : "refused");
        for (const text of [stdout, stderr]) expect(text).not.toContain("EROFS");
        for (const { command: step } of report.steps) if (step.includes("sysctl")) expect(step).toMatch(/ '?net\/[^.]/);
        expect(readFileSync("/tmp/bystander", "utf8")).toBe("untouched");
        if (command === "DEL" && exitCode === 0) expect(readdirSync(dirname(path))).not.toContain("cid-1_eth0.json");
        rmSync(path, { force: true });
        fuzzed.setUp();
      },
    });
    fuzzed.dispose();
  });
});

describe("records of the DHCP daemon", () => {
  const tried = new Tried("records of the DHCP daemon");
  const attachment = { network: "net1", containerId: "cid-1", ifname: "eth0" };
  const sample = {
    version: 1,
    attachment,
    wish: { call: "allocate", attachment, netns: "/run/netns/x", request: [1, 3, 6], provide: [[12, "686f7374"]] },
    facts: { identity: { netnsId: "4/4026531840", ifindex: 2, mac: "c2:11:22:33:44:55" }, nextHopMac: "", sideDoor: "" },
    lease: {
      address: "10.1.2.3/24",
      routers: ["10.1.2.1"],
      server: "10.1.2.1",
      startsAt: 1,
      renewAt: 2,
      rebindAt: 3,
      expiresAt: null,
      routes: [{ dst: "0.0.0.0/0", gw: "10.1.2.1" }],
      nameservers: ["10.1.2.1"],
      domain: "lan.example",
      search: ["lan.example"],
      mtu: 1400,
    },
    bootId: "x",
    socketPath: "/run/cni/dhcp.sock",
  };
  const keys = [
    "attachment",
    "wish",
    "facts",
    "lease",
    "bootId",
    "netns",
    "identity",
    "address",
    "routers",
    "routes",
    "domain",
    "mtu",
    "server",
  ];

  it("that mean no good are refused with what is wrong", () => {
    expect(recordFromJson(sample).wish).toEqual(sample.wish);
    tryAll(
      mutations(keys, { minLength: 1 }).map((changes: Mutation[]) => mutate(sample, changes)),
      {
        weight: 10,
        holds(value) {
          notForEver(JSON.stringify(value));
          try {
            recordFromJson(value);
            tried.count("read");
          } catch (error) {
            tried.count("refused");
            expectNoCrash(error);
          }
        },
      },
    );
  });

  it("are no obstacle to DEL and GC without a daemon", () => {
    const key = recordKey(attachment);
    tryAll(fc.tuple(damaged(sample, keys), fc.constantFrom(key, "x", "__proto__", "..", "a b")), {
      weight: 2,
      holds([bytes, name]) {
        rmSync("/var/lib/cni/dhcp", { recursive: true, force: true });
        mkdirSync("/var/lib/cni/dhcp", { recursive: true });
        writeFileSync(join("/var/lib/cni/dhcp", `${name}.json`), bytes);
        const config = {
          cniVersion: "1.1.0",
          name: "net1",
          type: "bridge",
          ipam: { type: "dhcp" },
          "cni.dev/valid-attachments": [],
        };
        const who = { CNI_CONTAINERID: "cid-1", CNI_IFNAME: "eth0", CNI_NETNS: "" };
        for (const env of [{ CNI_COMMAND: "DEL", ...who }, { CNI_COMMAND: "GC" }]) {
          const { exitCode } = host.call("dhcp", { env, stdin: Buffer.from(JSON.stringify(config)) });
          tried.count(exitCode === 0 ? "accepted" : "refused");
          expect(exitCode).toBe(0);
        }
      },
    });
  });
});
