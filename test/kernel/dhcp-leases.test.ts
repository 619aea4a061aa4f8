import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { OPTION } from "../../src/dhcp/option-codes.ts";
import { listRecords, recordKey, releaseRequestPath, requestRelease } from "../../src/ipam/dhcp-records.ts";
import { findLink } from "../../src/link/links.ts";
import { NetworkNamespace } from "../../src/link/namespace.ts";
import { waitFor } from "../../src/link/wait.ts";
import { RTMGRP } from "../../src/netlink/route/message-types.ts";
import { Steps } from "../../src/support/steps.ts";
import { Netns } from "../../src/sys/netns.ts";
import { Poller } from "../../src/sys/poller.ts";
import { addressesIn, allocation, askAsync, Daemon, DhcpWire, lease } from "../support/dhcp-bench.ts";
import { addresses, DhcpServer, leasing } from "../support/dhcp-server.ts";
import { freshNode, hideMachineState } from "../support/node.ts";

// podlink's daemon, with servers that do as they are told. What becomes of leases is seen at the servers and in containers.

let poller: Poller;
beforeAll(() => {
  hideMachineState();
  poller = new Poller((error) => {
    throw error;
  });
});
afterAll(() => poller.close());
beforeEach(freshNode);

function makeServer(wire: DhcpWire, behaviour = leasing("10.66.0.50", 3600), address = "10.66.0.1"): DhcpServer {
  return new DhcpServer(wire.servers, { link: "br0", address, poller, behaviour });
}

const attachment = { network: "net1", containerId: "cid-1", ifname: "eth0" };

describe("a lease", () => {
  it("is asked for with what the configuration says, and told with address, routes and DNS", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    const server = makeServer(
      wire,
      leasing("10.66.0.50", 3600, {
        routers: addresses("10.66.0.1"),
        "domain-name-servers": addresses("10.66.0.2", "10.66.0.3"),
        "domain-name": Buffer.from("lan.example"),
      }),
    );
    await Daemon.start();
    const container = wire.container();
    const provide = [[12, Buffer.from("web").toString("hex")]] as const;
    const answer = await askAsync(allocation("cid-1", container, { provide, priority: 77 }));
    expect(answer).toEqual({
      ok: true,
      result: {
        ips: [{ address: "10.66.0.50/24", gateway: "10.66.0.1" }],
        routes: [{ dst: "0.0.0.0/0", gw: "10.66.0.1", priority: 77 }],
        dns: { nameservers: ["10.66.0.2", "10.66.0.3"], domain: "lan.example" },
      },
    });
    const [discover, request] = server.seen;
    expect([discover?.type, request?.type]).toEqual(["DISCOVER", "REQUEST"]);
    const { options } = discover?.message ?? {};
    expect(Buffer.from(options?.get(OPTION["dhcp-client-identifier"]) ?? []).toString()).toBe("\0cid-1/net1/eth0");
    expect(Buffer.from(options?.get(OPTION["host-name"]) ?? []).toString()).toBe("web");
    expect([...(options?.get(OPTION["dhcp-parameter-request-list"]) ?? [])]).toEqual([1, 3, 6, 15, 51, 121]);
  });

  it("is the same when it is asked for again, one after the other or at once", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    const server = makeServer(wire);
    await Daemon.start();
    const container = wire.container();
    const answers = await Promise.all([1, 2, 3].map(() => askAsync(allocation("cid-1", container))));
    answers.push(await askAsync(allocation("cid-1", container)), await askAsync({ call: "check", attachment }));
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(server.seen.map(({ type }) => type)).toEqual(["DISCOVER", "REQUEST"]);
    expect(await askAsync({ call: "status" })).toEqual({ ok: true, result: { leases: 1 } });
  });

  it("is renewed at T1 with its server alone", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    const server = makeServer(wire, leasing("10.66.0.50", 4));
    await Daemon.start();
    const container = wire.container();
    await lease("cid-1", container);
    const { message, frame } = await server.next("REQUEST", { after: 2 });
    expect(String(message.ciaddr)).toBe("10.66.0.50");
    expect(String(frame.destination)).toBe("10.66.0.1");
    expect(String(frame.source)).toBe("10.66.0.50");
    await server.next("REQUEST", { after: 3 }); // and again, counted from the renewal
    expect(server.seen.filter(({ type }) => type === "DISCOVER")).toHaveLength(1);
    expect(addressesIn(container)).toEqual(["10.66.0.50/24"]);
  });

  it("that another server gives at T2, with another address, is put on the interface, its routes too", async () => {
    const wire = new DhcpWire("10.66.0.1/24", "10.66.0.2/24");
    const first = makeServer(wire, leasing("10.66.0.50", 4, { routers: addresses("10.66.0.1") }));
    const daemon = await Daemon.start();
    const container = wire.container();
    await lease("cid-1", container);
    container.ip("route", "add", "default", "via", "10.66.0.1");
    container.ip("address", "add", "192.0.2.7/32", "dev", "eth0"); // somebody else's
    first.behaviour = () => [];
    const second = makeServer(wire, () => [], "10.66.0.2");
    const others = leasing("10.66.0.77", 3600, { routers: addresses("10.66.0.2") });
    second.behaviour = (seen) => (String(seen.frame.destination) === "255.255.255.255" ? others(seen) : []);
    await daemon.said(/"cid-1"\/"eth0": leased 10\.66\.0\.77\/24 from 10\.66\.0\.2/);
    await daemon.said(/ip address add 10\.66\.0\.77\/24[\s\S]*ip route [^\n]*default via 10\.66\.0\.2/);
    expect(addressesIn(container).sort()).toEqual(["10.66.0.77/24", "192.0.2.7/32"]);
    expect(container.ip("-4", "route", "show")).toContain("default via 10.66.0.2");
    expect(container.ip("-4", "route", "show")).not.toContain("10.66.0.1");
    expect(first.seen.some(({ frame }) => String(frame.destination) === "10.66.0.1")).toBe(true); // T1 came before
  });

  it("that its server refuses at T1 is taken off at once, and another one is looked for", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    const server = makeServer(wire, leasing("10.66.0.50", 4));
    const daemon = await Daemon.start();
    const container = wire.container();
    await lease("cid-1", container);
    const again = leasing("10.66.0.60", 3600);
    server.behaviour = (seen) => (seen.type === "REQUEST" && seen.message.ciaddr.value !== 0n ? [{ type: "NAK" }] : again(seen));
    await daemon.said(/lost 10\.66\.0\.50\/24/);
    await daemon.said(/ip address add 10\.66\.0\.60\/24/);
    expect(addressesIn(container)).toEqual(["10.66.0.60/24"]);
    expect(await askAsync({ call: "check", attachment })).toMatchObject({ result: { ips: [{ address: "10.66.0.60/24" }] } });
  });

  it("that runs out while no server answers is taken off; a server that comes back gives a new one", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    const server = makeServer(wire, leasing("10.66.0.50", 3));
    const daemon = await Daemon.start({ resendMax: 1000 });
    const container = wire.container();
    await lease("cid-1", container);
    server.behaviour = () => [];
    await daemon.said(/ip address del 10\.66\.0\.50\/24/);
    expect(addressesIn(container)).toEqual([]);
    expect(await askAsync({ call: "check", attachment })).toMatchObject({ ok: false, msg: expect.stringContaining("is lost") });
    const before = server.seen.length;
    await server.next("DISCOVER", { after: before }); // it goes on asking
    server.behaviour = leasing("10.66.0.51", 3600);
    await daemon.said(/ip address add 10\.66\.0\.51\/24/);
    expect(addressesIn(container)).toEqual(["10.66.0.51/24"]);
  });

  it("is given by one of two servers that both offer one", async () => {
    const wire = new DhcpWire("10.66.0.1/24", "10.66.0.2/24");
    const servers = [makeServer(wire, leasing("10.66.0.50", 3600)), makeServer(wire, leasing("10.66.0.60", 3600), "10.66.0.2")];
    await Daemon.start();
    const address = await lease("cid-1", wire.container());
    const { message } = await (servers[0] as DhcpServer).next("REQUEST");
    const chosen = message.options.get(OPTION["dhcp-server-identifier"])?.join(".");
    expect([address, chosen]).toEqual(address === "10.66.0.50/24" ? [address, "10.66.0.1"] : ["10.66.0.60/24", "10.66.0.2"]);
  });

  it("comes after a refusal of what was offered, and in spite of answers that are none", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    const good = leasing("10.66.0.50", 3600);
    let refused = false;
    const server = makeServer(wire, (seen) => {
      const rubbish = [new Uint8Array(), new Uint8Array(7), new Uint8Array(300).fill(0xff), Buffer.from("x".repeat(1400))];
      const other = { type: "OFFER", address: "10.66.0.99", fields: { xid: (seen.message.xid + 1) >>> 0 } } as const;
      const none = { type: "OFFER", address: "127.0.0.1" } as const;
      const refusals = seen.type === "REQUEST" && !refused ? [{ type: "NAK" } as const] : [];
      refused ||= refusals.length > 0;
      return [...rubbish, other, none, ...refusals, ...(refusals.length > 0 ? [] : good(seen))];
    });
    await Daemon.start();
    expect(await lease("cid-1", wire.container())).toBe("10.66.0.50/24");
    expect(server.seen.map(({ type }) => type)).toEqual(["DISCOVER", "REQUEST", "DISCOVER", "REQUEST"]);
  });

  it("that nobody gives is an error that says so, after the time the daemon was told", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    await Daemon.start({ resendTimeout: 1000 });
    const answer = await askAsync(allocation("cid-1", wire.container()));
    const msg = expect.stringMatching(/^Cannot lease an address for "cid-1"\/"eth0": no server answered .*1 s/);
    expect(answer).toEqual({ ok: false, code: 999, msg });
    expect(await askAsync({ call: "status" })).toEqual({ ok: true, result: { leases: 0 } });
    expect(listRecords()).toEqual([]);
  });

  it("is for one container each, with its own client ID, also when many ask at once", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    const given = new Map<string, string>();
    makeServer(wire, (seen) => {
      const id = Buffer.from(seen.message.options.get(OPTION["dhcp-client-identifier"]) ?? []).toString("hex");
      const address = given.get(id) ?? `10.66.0.${100 + given.size}`;
      given.set(id, address);
      return leasing(address, 3600)(seen);
    });
    await Daemon.start();
    const containers = Array.from({ length: 12 }, () => wire.container());
    const leased = await Promise.all(containers.map((container, index) => lease(`cid-${index}`, container)));
    expect(new Set(leased).size).toBe(12);
    expect(await askAsync({ call: "status" })).toEqual({ ok: true, result: { leases: 12 } });
    const valid = [{ containerId: "cid-3", ifname: "eth0" }];
    await askAsync({ call: "collect", network: "net1", valid });
    expect(await askAsync({ call: "status" })).toEqual({ ok: true, result: { leases: 1 } });
  });
});

describe("the end of a lease", () => {
  it("is told to the server, and leaves nothing on disk", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    const server = makeServer(wire);
    await Daemon.start();
    const container = wire.container();
    await lease("cid-1", container);
    expect(await askAsync({ call: "release", attachment })).toEqual({ ok: true, result: null });
    const { message, frame } = await server.next("RELEASE");
    expect([String(message.ciaddr), String(frame.destination)]).toEqual(["10.66.0.50", "10.66.0.1"]);
    expect(message.options.get(OPTION["dhcp-server-identifier"])?.join(".")).toBe("10.66.0.1");
    expect(listRecords()).toEqual([]);
    expect(await askAsync({ call: "release", attachment })).toEqual({ ok: true, result: null });
  });

  it("comes when the interface is found gone", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    makeServer(wire, leasing("10.66.0.50", 2));
    const daemon = await Daemon.start();
    const container = wire.container();
    await lease("cid-1", container);
    container.ip("link", "del", "eth0");
    await daemon.said(/dropped 10\.66\.0\.50\/24; its server was not told/);
    expect(await askAsync({ call: "status" })).toEqual({ ok: true, result: { leases: 0 } });
    expect(listRecords()).toEqual([]);
  });

  it("comes when the namespace is found gone", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    makeServer(wire, leasing("10.66.0.50", 2));
    const daemon = await Daemon.start();
    const container = wire.container();
    await lease("cid-1", container);
    container[Symbol.dispose]();
    await daemon.said(/dropped 10\.66\.0\.50\/24/);
    expect(await askAsync({ call: "status" })).toEqual({ ok: true, result: { leases: 0 } });
    expect(listRecords()).toEqual([]);
  });

  it("does not wait for the daemon to let go of the namespace", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    makeServer(wire);
    await Daemon.start();
    const container = wire.container();
    await lease("cid-1", container);
    using servers = NetworkNamespace.container(Netns.open(wire.servers.path), new Steps());
    container[Symbol.dispose]();
    const look = () => findLink(servers, "port1") === undefined || undefined;
    expect(waitFor(servers, { look, groups: RTMGRP.LINK, timeoutMs: 30_000 })).toBe(true); // the other end goes with the namespace
    expect(await askAsync({ call: "status" })).toEqual({ ok: true, result: { leases: 1 } });
  });

  it("comes when whoever asked for it has gone before there was one", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    const server = makeServer(wire, () => []);
    const daemon = await Daemon.start();
    const socket = connect("/run/cni/dhcp.sock");
    socket.write(`${JSON.stringify(allocation("cid-1", wire.container()))}\n`);
    await server.next("DISCOVER");
    expect(await askAsync({ call: "status" })).toEqual({ ok: true, result: { leases: 1 } });
    socket.destroy();
    await daemon.said(/nobody waits for it any more/);
    expect(await askAsync({ call: "status" })).toEqual({ ok: true, result: { leases: 0 } });
  });
});

describe("another run of the daemon", () => {
  it("goes on with the leases, and gives none back", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    const server = makeServer(wire, leasing("10.66.0.50", 3));
    const first = await Daemon.start();
    await lease("cid-1", wire.container());
    await first.stop();
    const second = await Daemon.start();
    expect(second.text).toContain("leases of an earlier run: 1");
    expect(await askAsync({ call: "check", attachment })).toMatchObject({ result: { ips: [{ address: "10.66.0.50/24" }] } });
    const { message } = await server.next("REQUEST", { after: 2 });
    expect(String(message.ciaddr)).toBe("10.66.0.50");
    expect(server.seen.map(({ type }) => type).filter((type) => type !== "REQUEST")).toEqual(["DISCOVER"]);
  });

  it("gives back what a DEL has left word about, and does not take it up for a container of the same name", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    const server = makeServer(wire);
    const first = await Daemon.start();
    await lease("cid-1", wire.container());
    await first.stop();
    const path = releaseRequestPath(recordKey(attachment));
    requestRelease(path ?? "");
    const second = await Daemon.start();
    const { message } = await server.next("RELEASE");
    expect(String(message.ciaddr)).toBe("10.66.0.50");
    expect(second.text).toContain("leases of an earlier run: 0");
    expect(listRecords()).toEqual([]);
  });

  it("takes off what has run out meanwhile", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    const server = makeServer(wire, leasing("10.66.0.50", 3600));
    const first = await Daemon.start();
    const container = wire.container();
    await lease("cid-1", container);
    await first.stop();
    changeRecord((record) => ({ ...record, lease: { ...record.lease, renewAt: 0, rebindAt: 0, expiresAt: 0, startsAt: 0 } }));
    server.behaviour = leasing("10.66.0.51", 3600);
    const second = await Daemon.start();
    await second.said(/ip address add 10\.66\.0\.51\/24/);
    expect(addressesIn(container)).toEqual(["10.66.0.51/24"]);
  });

  it("drops leases of before the machine's start, of other namespaces, and what it cannot read", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    makeServer(wire);
    const changes: ((record: LeaseFile) => unknown)[] = [
      (record) => ({ ...record, bootId: "another" }),
      (record) => ({ ...record, facts: { ...record.facts, identity: { ...record.facts.identity, netnsId: "4:1" } } }),
      (record) => ({ ...record, lease: { ...record.lease, address: "here" } }),
      (record) => ({ ...record, version: 2 }),
      () => [],
    ];
    for (const change of changes) {
      const first = await Daemon.start();
      await askAsync(allocation("cid-1", wire.container()));
      await first.stop();
      changeRecord(change);
      const second = await Daemon.start();
      expect(second.text).toMatch(/[Dd]ropped/);
      expect(second.text).toContain("leases of an earlier run: 0");
      expect(listRecords()).toEqual([]);
      await second.stop();
    }
  });

  it("leaves the leases of a daemon with another socket alone", async () => {
    const wire = new DhcpWire("10.66.0.1/24");
    makeServer(wire);
    const first = await Daemon.start();
    await askAsync(allocation("cid-1", wire.container()));
    const other = await Daemon.start({}, { socketPath: "/run/cni/other.sock" });
    expect(other.text).toContain("leases of an earlier run: 0");
    expect(listRecords()).toHaveLength(1);
    await first.stop();
  });
});

interface LeaseFile {
  readonly lease: object;
  readonly facts: { readonly identity: object };
}

/** Edits the one lease there is on disk. */
function changeRecord(change: (record: LeaseFile) => unknown): void {
  const [record] = listRecords();
  const path = `/var/lib/cni/dhcp/${record?.key}.json`;
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, "utf8")))));
}
