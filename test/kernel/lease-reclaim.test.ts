import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { FileLock } from "../../src/sys/file-lock.ts";
import { Bench } from "../support/attach.ts";
import { files, freshNode, hideMachineState, leases, makeSandbox, nameSandbox, output, unnameSandbox } from "../support/node.ts";

// Leases of containers whose namespaces went without DEL, as on a node that is itself a container and was started again, and stores on
// disks that are full or take no changes.

const bench = new Bench();
const dataDir = "/var/lib/cni/networks";
// 10.90.0.2 and 10.90.0.3 beside the gateway
const ipam = { type: "host-local", ranges: [[{ subnet: "10.90.0.0/29", rangeEnd: "10.90.0.3" }]] };
const config = { cniVersion: "1.1.0", name: "net1", type: "test", ipam };

const call = (command: string, containerId: string, netns = "") =>
  bench.caller.call({ type: "host-local", command, config, containerId, netns });

function addressOf(containerId: string, netns: string): string {
  const { exitCode, stdout } = call("ADD", containerId, netns);
  return exitCode === 0 ? JSON.parse(stdout).ips[0].address : JSON.parse(stdout).msg;
}

const full = (id: string) =>
  `Cannot lease an address for "${id}"/"eth0": no IP addresses available in range set: 10.90.0.1-10.90.0.3`;

beforeAll(hideMachineState);
beforeEach(freshNode);

describe("a lease whose namespace is gone", () => {
  it("is taken back when nothing is free, though another namespace may have its inode by then", () => {
    const [first, second] = [makeSandbox(), makeSandbox()];
    const [one, two] = [nameSandbox(first, "one"), nameSandbox(second, "two")];
    try {
      expect(addressOf("c1", one)).toBe("10.90.0.2/29");
      expect(addressOf("c2", two)).toBe("10.90.0.3/29");
      expect(addressOf("c3", two)).toBe(full("c3")); // both are there
      unnameSandbox(one);
      first[Symbol.dispose]();
      const third = makeSandbox();
      const three = nameSandbox(third, "three");
      try {
        const { exitCode, stderr, stdout } = call("ADD", "c3", three);
        expect({ exitCode, stderr }).toEqual({
          exitCode: 0,
          stderr: `host-local: Taking back 10.90.0.2 from "c1"/"eth0" in "${dataDir}/net1": its network namespace is gone\n`,
        });
        expect(JSON.parse(stdout).ips).toMatchObject([{ address: "10.90.0.2/29" }]);
        expect(addressOf("c4", three)).toBe(full("c4"));
        expect(call("DEL", "c2").exitCode).toBe(0);
        expect(addressOf("c4", three)).toBe("10.90.0.3/29");
      } finally {
        unnameSandbox(three);
      }
    } finally {
      unnameSandbox(two);
    }
  });

  it("is one of a process that has ended, too; and STATUS is ready meanwhile", () => {
    const holder = makeSandbox();
    expect(addressOf("c1", holder.path)).toBe("10.90.0.2/29");
    writeFileSync(join(dataDir, "net1/10.90.0.3"), "theirs\r\neth0"); // by somebody who keeps no record, in this boot
    expect(call("STATUS", "").exitCode).toBe(1);
    holder[Symbol.dispose]();
    expect(call("STATUS", "").exitCode).toBe(0);
    expect(addressOf("c2", makeSandbox().path)).toBe("10.90.0.2/29");
    expect(readFileSync(join(dataDir, "net1/10.90.0.3"), "utf8")).toBe("theirs\r\neth0");
  });

  it("is left to whoever sees namespaces", () => {
    const holder = makeSandbox();
    for (const id of ["c1", "c2"]) addressOf(id, holder.path);
    holder[Symbol.dispose]();
    expect(addressOf("c3", "/run/netns/none")).toBe(full("c3"));
  });
});

describe("the records of the usual data directory", () => {
  it("are beside it, so that below it there are only leases", () => {
    const { path } = makeSandbox();
    addressOf("c1", path);
    expect(files(dataDir).map((file) => file.replace(`${dataDir}/`, ""))).toEqual([
      "net1/10.90.0.2",
      "net1/last_reserved_ip.0",
      "net1/lock",
    ]);
    expect(readdirSync("/var/lib/cni/podlink/ipam/net1").sort()).toEqual([".boot", "c1,eth0", "leases"]);
  });

  it("are within it where it is a file system of its own", () => {
    mkdirSync(dataDir, { recursive: true });
    output("mount", "-t", "tmpfs", "tmpfs", dataDir);
    try {
      const { path } = makeSandbox();
      expect(addressOf("c1", path)).toBe("10.90.0.2/29");
      expect(readdirSync(join(dataDir, ".podlink/net1")).sort()).toEqual([".boot", "c1,eth0", "leases"]);
      expect(call("DEL", "c1")).toMatchObject({ exitCode: 0, stderr: "" });
    } finally {
      output("umount", dataDir);
    }
  });

  it("are not kept where the leases of a network alone are a file system of their own", () => {
    mkdirSync(join(dataDir, "net1"), { recursive: true });
    output("mount", "-t", "tmpfs", "tmpfs", join(dataDir, "net1"));
    try {
      const { path } = makeSandbox();
      const { exitCode, stderr } = call("ADD", "c1", path);
      expect(exitCode).toBe(0);
      expect(stderr).toContain(`so each one is read: "${dataDir}" is on another file system`);
      expect(call("ADD", "c1", path).exitCode).toBe(1);
      expect(call("DEL", "c1").exitCode).toBe(0);
      expect(leases()).toEqual([]);
    } finally {
      output("umount", join(dataDir, "net1"));
    }
  });
});

describe("the directory of a network", () => {
  const directory = join(dataDir, "net1");
  const lease = (id: string): string => {
    const { exitCode, stdout } = call("ADD", id, "/run/netns/none");
    expect(exitCode).toBe(0);
    return JSON.parse(stdout).ips[0].address.split("/")[0];
  };

  it("that somebody removed is made anew, and its former owners are gone without an error", () => {
    const first = lease("c1");
    rmSync(directory, { recursive: true });
    for (const command of ["DEL", "GC", "STATUS"]) expect(call(command, "c1"), command).toMatchObject({ exitCode: 0 });
    const again = lease("c2");
    expect(leases()).toEqual([`net1/${again}`]);
    expect(call("DEL", "c2").exitCode).toBe(0);
    expect(first).not.toBe("");
  });

  it("that belongs to somebody else, with all that is in it, serves as before", () => {
    const first = lease("c1");
    output("chown", "-R", "65534:65534", directory);
    for (const [path, mode] of [
      [directory, "0500"],
      [join(directory, first), "0000"],
    ] as const)
      output("chmod", mode, path);
    expect(call("STATUS", "c1")).toMatchObject({ exitCode: 0 });
    const second = lease("c2");
    expect(second).not.toBe(first);
    expect(call("ADD", "c1", "/run/netns/none").exitCode).toBe(1); // it has its address
    for (const id of ["c1", "c2"]) expect(call("DEL", id).exitCode).toBe(0);
    expect(leases()).toEqual([]);
  });

  it("whose lock somebody keeps does not keep STATUS and CHECK from answering", () => {
    const { path } = makeSandbox();
    const { stdout } = call("ADD", "c1", path);
    using _lock = FileLock.acquire(join(directory, "lock"), { timeoutMs: 0 });
    expect(call("STATUS", "c1")).toMatchObject({ exitCode: 0 });
    const checked = { ...config, prevResult: JSON.parse(stdout) };
    const answer = bench.caller.call({ type: "host-local", command: "CHECK", containerId: "c1", netns: path, config: checked });
    expect(answer).toMatchObject({ exitCode: 0 });
  });
});

describe("a disk", () => {
  const small = "/var/lib/cni/small";
  const onSmall = (command: string, containerId: string) =>
    bench.caller.call({
      type: "host-local",
      command,
      containerId,
      netns: "/run/netns/none",
      config: { ...config, ipam: { type: "host-local", subnet: "10.90.0.0/16", dataDir: small } },
    });
  const onDisk = () => leases(small).filter((name) => /^net1\/10\./.test(name));

  function mounted(options: string, work: () => void): void {
    mkdirSync(small, { recursive: true });
    output("mount", "-t", "tmpfs", "-o", options, "tmpfs", small);
    try {
      work();
    } finally {
      output("umount", small);
      rmSync(small, { recursive: true });
    }
  }

  it.each([
    ["blocks", "size=64k"],
    ["inodes", "nr_inodes=40"],
  ])("that is out of %s refuses one clear error, and lets go of what it has", (_, options) => {
    mounted(options, () => {
      const added: string[] = [];
      for (let i = 0; i < 100 && onSmall("ADD", `c${i}`).exitCode === 0; i++) added.push(`c${i}`);
      expect(added.length).toBeGreaterThan(2);
      expect(added.length).toBeLessThan(100);
      const { stdout } = onSmall("ADD", "late");
      expect(JSON.parse(stdout).msg).toContain("ENOSPC");
      expect(onDisk()).toHaveLength(added.length);
      for (const id of added) expect(onSmall("DEL", id).exitCode).toBe(0);
      expect(onDisk()).toEqual([]);
      expect(onSmall("ADD", "again").exitCode).toBe(0);
    });
  });

  it("that takes no changes refuses ADD and what would have to release, and says why", () => {
    mounted("size=1m", () => {
      expect(onSmall("ADD", "c1").exitCode).toBe(0);
      output("mount", "-o", "remount,ro", small);
      for (const [command, id] of [
        ["ADD", "c2"],
        ["DEL", "c1"],
      ] as const) {
        const { exitCode, stdout } = onSmall(command, id);
        expect(exitCode).toBe(1);
        expect(JSON.parse(stdout).msg).toContain("EROFS");
      }
      expect(onSmall("DEL", "c2")).toMatchObject({ exitCode: 0 });
      expect(onDisk()).toEqual(["net1/10.90.0.2"]);
      output("mount", "-o", "remount,rw", small);
      expect(onSmall("DEL", "c1").exitCode).toBe(0);
      expect(onDisk()).toEqual([]);
    });
  });
});
