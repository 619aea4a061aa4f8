import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { rowsOf } from "../../../src/cli/attachments.ts";
import { tableOf } from "../../../src/cli/list.ts";
import { formatAge, formatTable, shorten } from "../../../src/cli/table.ts";
import { ResultCache, type StoredAttachment } from "../../../src/runtime/cache.ts";
import { fakeShell } from "../../support/fake-shell.ts";

const attachment: StoredAttachment = {
  network: "demo",
  containerId: "c1",
  ifname: "eth0",
  netns: "/run/netns/blue",
  config: new Uint8Array(),
  cniArgs: [],
  capabilityArgs: {},
  result: {
    cniVersion: "1.1.0",
    interfaces: [{ name: "cni0" }, { name: "veth1" }, { name: "eth0", sandbox: "/run/netns/blue" }],
    ips: [{ address: "10.1.2.3/24", interface: 2 }, { address: "fd00::3/64" }],
  },
  addedMs: 60_000,
};

function lease(changes: object) {
  return { network: "demo", address: "10.1.2.9", containerId: "lost", ifname: "eth0", mtimeMs: 30_000, ...changes };
}

describe("rowsOf", () => {
  it("takes addresses and the host's end from the result", () => {
    expect(rowsOf([attachment], [])).toEqual([
      {
        network: "demo",
        container: "c1",
        interface: "eth0",
        addresses: ["10.1.2.3/24", "fd00::3/64"],
        hostInterface: "veth1",
        netns: "/run/netns/blue",
        since: "1970-01-01T00:01:00.000Z",
        attached: true,
      },
    ]);
  });

  it("understands results of the first versions, and none", () => {
    const old = { ...attachment, result: { ip4: { ip: "10.1.2.3/24" }, ip6: { ip: "fd00::3/64" } } };
    expect(rowsOf([old], [])[0]).toMatchObject({ addresses: ["10.1.2.3/24", "fd00::3/64"] });
    const [row] = rowsOf([{ ...attachment, result: undefined, netns: undefined }], []);
    expect(row).toEqual({
      network: "demo",
      container: "c1",
      interface: "eth0",
      addresses: [],
      since: row?.since,
      attached: true,
    });
  });

  it("adds leases that no attachment is remembered for, one line per container and interface", () => {
    const leases = [
      lease({}),
      lease({ address: "fd00::9" }),
      lease({ ifname: "" }),
      lease({ containerId: "c1", address: "10.1.2.3" }),
      lease({ containerId: "c1", ifname: "", address: "10.1.2.4" }),
      lease({ containerId: "c1", network: "other" }),
    ];
    expect(
      rowsOf([attachment], leases).map((row) => [row.network, row.container, row.interface, row.addresses, row.attached]),
    ).toEqual([
      ["demo", "lost", "eth0", ["10.1.2.9", "fd00::9"], false],
      ["demo", "lost", undefined, ["10.1.2.9"], false],
      ["demo", "c1", "eth0", ["10.1.2.3/24", "fd00::3/64"], true],
      ["other", "c1", "eth0", ["10.1.2.9"], false],
    ]);
  });
});

describe("tableOf", () => {
  it("is a table", () => {
    expect(tableOf(rowsOf([attachment], [lease({ containerId: "a".repeat(64), ifname: "" })]), 120_000)).toBe(
      [
        "NETWORK  CONTAINER                       INTERFACE  ADDRESSES               HOST INTERFACE  AGE",
        "demo     (aaaaaaaaaaaaaaaaaaaaaaaaaaa…)  -          10.1.2.9                -               1m",
        "demo     c1                              eth0       10.1.2.3/24,fd00::3/64  veth1           1m",
        "",
      ].join("\n"),
    );
  });
});

describe("formatTable", () => {
  it("pads all columns but the last", () => {
    expect(
      formatTable([
        ["A", "B"],
        ["long", "x"],
      ]),
    ).toBe("A     B\nlong  x\n");
  });
});

describe("formatAge", () => {
  it.each([
    [-5_000, "0s"],
    [999, "0s"],
    [59_999, "59s"],
    [60_000, "1m"],
    [3_599_999, "59m"],
    [3_600_000, "1h"],
    [86_399_999, "23h"],
    [86_400_000, "1d"],
    [864_000_000, "10d"],
  ])("%i ms is %s", (ms, text) => {
    expect(formatAge({ sinceMs: 1000, nowMs: 1000 + ms })).toBe(text);
  });
});

describe("shorten", () => {
  it("keeps what fits", () => {
    expect(shorten("cnitool", 7)).toBe("cnitool");
    expect(shorten("cnitools", 7)).toBe("cnitoo…");
  });
});

describe("podlink list", () => {
  it("finds attachments in the cache and leases where configurations put them", () => {
    const { directory, type } = fakeShell();
    new ResultCache(join(directory, "cache")).write(attachment);
    mkdirSync(join(directory, "conf"));
    mkdirSync(join(directory, "leases/demo"), { recursive: true });
    const plugins = [{ type: "bridge", ipam: { type: "host-local", dataDir: join(directory, "leases") } }];
    writeFileSync(join(directory, "conf/demo.conflist"), JSON.stringify({ name: "demo", cniVersion: "1.1.0", plugins }));
    writeFileSync(join(directory, "leases/demo/10.1.2.9"), "lost\r\neth0");
    writeFileSync(join(directory, "leases/demo/last_reserved_ip.0"), "10.1.2.9");
    const { exitCode, stdout, stderr } = type("list", "--json", "--data-dir", join(directory, "none"));
    expect([exitCode, stderr]).toEqual([0, ""]);
    const rows = JSON.parse(stdout).map((row: Record<string, unknown>) => [row.container, row.addresses, row.attached]);
    expect(rows).toHaveLength(2);
    expect(rows).toContainEqual(["c1", ["10.1.2.3/24", "fd00::3/64"], true]);
    expect(rows).toContainEqual(["lost", ["10.1.2.9"], false]);
    expect(type("list", "--data-dir", join(directory, "none")).stdout.split("\n")).toHaveLength(4);
  });

  it("is an empty table where nothing is", () => {
    const { directory, type } = fakeShell();
    const { exitCode, stdout } = type("list", "--data-dir", join(directory, "none"));
    expect([exitCode, stdout]).toEqual([0, "NETWORK  CONTAINER  INTERFACE  ADDRESSES  HOST INTERFACE  AGE\n"]);
    expect(type("list", "--json", "--data-dir", join(directory, "none")).stdout).toBe("[]\n");
  });
});
