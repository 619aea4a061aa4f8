import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { listRecords } from "../../src/ipam/dhcp-records.ts";
import { Bench } from "../support/attach.ts";
import type { Json } from "../support/call-plugin.ts";
import { addressesIn, DhcpWire, lease, Program, runDaemonProgram } from "../support/dhcp-bench.ts";
import { type Running, startDaemon, startDnsmasq } from "../support/dhcp-programs.ts";
import { files, makeSandbox, output, temporaryDirectory } from "../support/node.ts";

// The plugin type in its chain, with podlink's daemon as a process and servers from Debian's packages.

const bench = new Bench();
const directory = temporaryDirectory();

function running(program: Running): Running {
  onTestFinished(() => program.kill());
  return program;
}

function stop(daemon: Running): void {
  daemon.kill();
  daemon.heard("stopped");
}

/** dnsmasq at the other end of the node's eth0, in a namespace of its own; what it has said is in a file. */
function makeLan(): Running {
  const lan = makeSandbox();
  output("ip", "link", "add", "eth0", "up", "type", "veth", "peer", "name", "wire0", "netns", lan.path);
  lan.ip("address", "add", "10.67.0.1/24", "dev", "wire0");
  lan.ip("link", "set", "wire0", "up");
  return running(lan.run(() => startDnsmasq("wire0", "10.67.0.50,10.67.0.99,2m")));
}

const macvlanNetwork = (more: Json = {}) => ({
  cniVersion: "1.1.0",
  name: "lan",
  type: "macvlan",
  master: "eth0",
  ipam: { type: "dhcp" },
  ...more,
});

describe("macvlan with dhcp", () => {
  it("gives each container an address, route and DNS of the server's, CHECKs it, and gives it back on DEL", () => {
    const lan = makeLan();
    running(startDaemon());
    const attached = [1, 2, 3].map(() => bench.attach(macvlanNetwork()));
    expect(new Set(attached.map(({ v4 }) => v4)).size).toBe(3);
    for (const { sandbox, result, who } of attached) {
      expect(result.dns).toEqual({ nameservers: ["10.67.0.1"], domain: "lan.example" });
      expect(result.ips?.[0]).toMatchObject({ gateway: "10.67.0.1", interface: 0 });
      expect(sandbox.ping("10.67.0.1")).toBe(true);
      bench.caller.succeed({ ...who, command: "CHECK" });
    }
    for (const one of attached) bench.detach(one);
    for (const { v4 } of attached) lan.heard(`DHCPRELEASE.wire0. ${v4} `);
    expect(listRecords()).toEqual([]);
    for (const one of attached) bench.detach(one);
  });

  it("is detached without the daemon, which gives the address back when it is there again", () => {
    const lan = makeLan();
    const first = running(startDaemon());
    const attached = bench.attach(macvlanNetwork());
    const other = bench.attach(macvlanNetwork());
    stop(first);
    const { stderr } = bench.caller.succeed({ ...attached.who, command: "DEL" });
    expect(stderr).toMatch(/is given back when the daemon is there again/);
    bench.caller.succeed({ ...attached.who, command: "DEL" });
    expect(files("/var/lib/cni/dhcp").filter((path) => path.endsWith(".release"))).toHaveLength(1);
    expect(lan.said()).not.toContain("DHCPRELEASE");
    running(startDaemon());
    lan.heard(`DHCPRELEASE.wire0. ${attached.v4} `);
    expect(files("/var/lib/cni/dhcp")).toHaveLength(1);
    bench.caller.succeed({ ...other.who, command: "CHECK" });
    bench.detach(other);
  });

  it("keeps what GC is told to keep, with the daemon and without", () => {
    makeLan();
    const daemon = running(startDaemon());
    const [kept, stale, later] = [1, 2, 3].map(() => bench.attach(macvlanNetwork()));
    const collect = (...ids: string[]) => {
      const valid = ids.map((containerID) => ({ containerID, ifname: "eth0" }));
      bench.caller.succeed({ type: "dhcp", command: "GC", config: { ...macvlanNetwork(), "cni.dev/valid-attachments": valid } });
    };
    collect("cid-1", "cid-3");
    expect(listRecords()).toHaveLength(2);
    stop(daemon);
    collect("cid-1");
    expect(
      listRecords()
        .map(({ released }) => released)
        .sort(),
    ).toEqual([false, true]);
    running(startDaemon());
    expect(listRecords()).toHaveLength(1);
    bench.caller.succeed({ ...(kept?.who ?? raise()), command: "CHECK" });
    for (const one of [kept, stale, later]) if (one !== undefined) bench.detach(one);
  });

  it("fails where there is no daemon, and says what to do", () => {
    makeLan();
    const sandbox = makeSandbox();
    const before = sandbox.snapshot();
    const call = { type: "macvlan", netns: sandbox.path, config: macvlanNetwork() };
    const error = bench.caller.fail({ ...call, command: "ADD" });
    expect(error).toMatchObject({ code: 11, details: expect.stringContaining("podlink dhcp daemon") });
    expect(sandbox.snapshot()).toEqual(before);
    const status = { code: 51, details: expect.stringContaining("no lease is renewed") };
    expect(bench.caller.fail({ ...call, command: "STATUS" })).toMatchObject(status);
    expect(files("/var/lib/cni/dhcp")).toEqual([]);
  });

  it("CHECK does not ask for a new lease where there is none", () => {
    const lan = makeLan();
    const daemon = running(startDaemon());
    const attached = bench.attach(macvlanNetwork());
    stop(daemon);
    for (const path of files("/var/lib/cni/dhcp")) output("rm", path);
    running(startDaemon());
    const before = lan.said().match(/DHCPDISCOVER/g)?.length;
    expect(bench.caller.fail({ ...attached.who, command: "CHECK" }).msg).toContain("there is no lease");
    expect(lan.said().match(/DHCPDISCOVER/g)?.length).toBe(before);
    bench.detach(attached);
  });
});

function raise(): never {
  throw new Error("not attached");
}

describe("busybox's udhcpd, which gives leases of seconds", () => {
  it("sees them renewed, and given back", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    const file = join(directory, "udhcpd.conf");
    const leases = join(directory, "udhcpd.leases");
    writeFileSync(leases, "");
    const lines = [
      "start 10.66.0.50",
      "end 10.66.0.60",
      "interface br0",
      `lease_file ${leases}`,
      "min_lease 1",
      "option lease 4",
    ];
    writeFileSync(
      file,
      `${[...lines, "option subnet 255.255.255.0", "option router 10.66.0.1", "pidfile /run/udhcpd"].join("\n")}\n`,
    );
    const server = wire.servers.run(() => new Program(["udhcpd", "-f", "-a", "0", file]));
    await server.said(/started/);
    const daemon = await runDaemonProgram();
    const containers = [wire.container(), wire.container()];
    const [first = "", second = ""] = await Promise.all(containers.map((container, index) => lease(`cid-${index}`, container)));
    expect(first).not.toBe(second);
    for (const address of [first, second]) {
      await server.said(new RegExp(`sending ACK to ${address.split("/")[0]}`), 3); // the first, and two renewals
    }
    expect(containers.map(addressesIn)).toEqual([[first], [second]]);
    expect(daemon.text).not.toContain("lost");
  });
});
