import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { findLink, getLink, listLinks } from "../../src/link/links.ts";
import { NetworkNamespace, Sandbox } from "../../src/link/namespace.ts";
import { Steps } from "../../src/support/steps.ts";
import { isNetns, isOwnNetns, Netns, NetnsGoneError, withNetns } from "../../src/sys/netns.ts";
import { becomeHost, inside, makeContainer } from "../support/namespaces.ts";
import { output } from "../support/node.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

beforeAll(becomeHost);

function ownInode(): number {
  return statSync("/proc/thread-self/ns/net").ino;
}

function openDescriptors(): string[] {
  return readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return []; // the descriptor of the listing itself
    }
  });
}

describe("isNetns", () => {
  it("knows namespaces by any path to them", () => {
    const link = join(temporaryDirectory(), "link");
    const container = makeContainer();
    symlinkSync(container, link);
    for (const path of ["/proc/self/ns/net", "/proc/thread-self/ns/net", `/proc/${process.pid}/ns/net`, container, link]) {
      expect(isNetns(path), path).toBe(true);
    }
  });

  it("is not taken in by what is none", () => {
    const directory = temporaryDirectory();
    const file = join(directory, "file");
    writeFileSync(file, "");
    const loop = join(directory, "loop");
    symlinkSync(loop, loop);
    const others = [
      file,
      directory,
      join(directory, "missing"),
      join(file, "below"),
      loop,
      "/proc",
      "/proc/self",
      "/proc/uptime",
      "/proc/self/ns/mnt",
      "x".repeat(5000),
      "",
      "/dev/null",
    ];
    for (const path of others) expect(isNetns(path), path).toBe(false);
  });

  it("tells that the namespace of a process that ended is gone", async () => {
    const child = spawn("cat");
    expect(isNetns(`/proc/${child.pid}/ns/net`)).toBe(true);
    child.stdin.end();
    await once(child, "close");
    expect(isNetns(`/proc/${child.pid}/ns/net`)).toBe(false);
  });
});

describe("isOwnNetns", () => {
  it("knows the namespace this process stands in, and follows it", () => {
    const container = makeContainer();
    expect(isOwnNetns("/proc/self/ns/net")).toBe(true);
    expect(isOwnNetns(container)).toBe(false);
    inside(container, () => expect(isOwnNetns(container)).toBe(true));
    expect(isOwnNetns("/proc/1/ns/net")).toBe(false); // the machine's, which this test has left
  });

  it("is false for what cannot be opened", () => {
    expect(isOwnNetns("/nonexistent")).toBe(false);
    expect(isOwnNetns("/dev/null")).toBe(false);
  });
});

describe("Netns", () => {
  it("opens a namespace and closes it", () => {
    const path = makeContainer();
    const { dev, ino } = statSync(path);
    const netns = Netns.open(path);
    expect(fstatSync(netns.fd)).toMatchObject({ dev, ino });
    netns[Symbol.dispose]();
    expect(() => fstatSync(netns.fd)).toThrow("EBADF");
  });

  it("says that it is gone, or is undefined where that is fine", () => {
    const directory = temporaryDirectory();
    const leftBehind = join(directory, "blue");
    writeFileSync(leftBehind, "");
    mkdirSync(join(directory, "sub"));
    for (const path of [leftBehind, join(directory, "missing"), join(directory, "sub")]) {
      expect(() => Netns.open(path)).toThrow(
        new NetnsGoneError(`Cannot open network namespace "${path}": it does not exist or is not a network namespace`),
      );
      expect(Netns.tryOpen(path)).toBeUndefined();
    }
    expect(Netns.tryOpen(undefined)).toBeUndefined();
    using found = Netns.tryOpen("/proc/self/ns/net");
    expect(found).toBeInstanceOf(Netns);
  });
});

describe("withNetns", () => {
  it("works inside and comes home with the answer", () => {
    const home = ownInode();
    const path = makeContainer();
    using netns = Netns.open(path);
    expect(withNetns(netns, () => ownInode())).toBe(statSync(path).ino);
    expect(ownInode()).toBe(home);
  });

  it("comes home after a throw, also out of one visit inside another", () => {
    const home = ownInode();
    using first = Netns.open(makeContainer());
    using second = Netns.open(makeContainer());
    const before = openDescriptors().length;
    expect(() =>
      withNetns(first, () => {
        expect(() =>
          withNetns(second, () => {
            throw new Error("inner");
          }),
        ).toThrow("inner");
        expect(ownInode()).toBe(fstatSync(first.fd).ino);
        throw new Error("outer");
      }),
    ).toThrow("outer");
    expect(ownInode()).toBe(home);
    expect(openDescriptors()).toHaveLength(before);
  });

  it("stays at home when the way in fails", () => {
    const home = ownInode();
    const netns = Netns.open(makeContainer());
    netns[Symbol.dispose]();
    let ran = false;
    const fd = openSync("/dev/null", "r"); // takes the number that was the namespace's
    expect(() =>
      withNetns(netns, () => {
        ran = true;
      }),
    ).toThrow(/^setns: /);
    closeSync(fd);
    expect([ran, ownInode()]).toEqual([false, home]);
  });
});

describe("NetworkNamespace, Sandbox", () => {
  it("see each its own links, from wherever the thread stands", () => {
    const path = makeContainer();
    inside(path, () => output("ip", "link", "add", "inner7", "type", "bridge"));
    using sandbox = Sandbox.open(path, new Steps());
    expect(findLink(sandbox.container, "inner7")).toBeDefined();
    expect(findLink(sandbox.host, "inner7")).toBeUndefined();
    inside(path, () => expect(findLink(sandbox.host, "inner7")).toBeUndefined());
    expect(sandbox.container.inside(() => ownInode())).toBe(statSync(path).ino);
    expect(sandbox.host.inside(() => ownInode())).toBe(ownInode());
  });

  it("record changes as a person on the host would type them", () => {
    const path = makeContainer();
    const steps = new Steps();
    using sandbox = Sandbox.open(path, steps);
    expect(sandbox.host.change("ip link set a up", () => 1)).toBe(1);
    expect(sandbox.container.change("ip link set b up", () => 2)).toBe(2);
    expect(steps.list.map(({ command }) => command)).toEqual(["ip link set a up", `nsenter --net=${path} ip link set b up`]);
  });

  it("have a path and a descriptor for the container's namespace only", () => {
    const path = makeContainer();
    using sandbox = Sandbox.open(path, new Steps());
    expect(sandbox.container.path).toBe(path);
    expect(fstatSync(sandbox.container.fd).ino).toBe(statSync(path).ino);
    expect(() => sandbox.host.fd).toThrow("Cannot name the host's network namespace");
    expect(() => sandbox.host.path).toThrow("Cannot name the host's network namespace");
  });

  it("close everything they opened", () => {
    const path = makeContainer();
    const before = openDescriptors().length;
    {
      using sandbox = Sandbox.open(path, new Steps());
      expect(listLinks(sandbox.container)).toHaveLength(1);
      expect(openDescriptors().length).toBe(before + 3); // the namespace and two sockets
    }
    expect(openDescriptors()).toHaveLength(before);
  });

  it("open nothing when the namespace is gone", () => {
    const before = openDescriptors().length;
    expect(() => Sandbox.open("/nonexistent", new Steps())).toThrow(NetnsGoneError);
    expect(openDescriptors()).toHaveLength(before);
  });
});

it("a namespace opened for a host goes with it", () => {
  const before = openDescriptors().length;
  {
    using host = NetworkNamespace.host(new Steps());
    expect(getLink(host, "lo").index).toBe(1);
  }
  expect(openDescriptors()).toHaveLength(before);
});
