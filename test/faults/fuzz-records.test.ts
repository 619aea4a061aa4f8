import {
  existsSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Json } from "../support/call-plugin.ts";
import { hostileText } from "../support/fuzz/hostile.ts";
import { protectMachine } from "../support/fuzz/machine.ts";
import { notForEver, Tried, tryAll, watchForHangs } from "../support/fuzz/runs.ts";
import { WatchedHost } from "../support/fuzz/watched-host.ts";
import { freshNode, leases } from "../support/node.ts";

// What host-local knows beside the lease files is a cache: whatever somebody writes there, no address is given twice, nobody's lease is
// another's to delete, nothing outside is touched, and without it everything is as it was.

let host: WatchedHost;
beforeAll(() => {
  protectMachine();
  host = new WatchedHost("/tmp/bin");
});
beforeEach(freshNode);
watchForHangs();

const directory = "/var/lib/cni/networks/net1";
const bystander = "/tmp/outside/bystander";
const config = {
  cniVersion: "1.1.0",
  name: "net1",
  type: "bridge",
  ipam: { type: "host-local", ranges: [[{ subnet: "10.90.9.0/27" }], [{ subnet: "fd00:9::/123" }]] },
};

function call(command: string, { id, more = {} }: { id?: string; more?: Json } = {}): { exitCode: number; stdout: string } {
  const who = id === undefined ? {} : { CNI_CONTAINERID: id, CNI_IFNAME: "eth0", CNI_NETNS: "/proc/self/ns/net" };
  const env = { CNI_COMMAND: command, CNI_NETNS_OVERRIDE: "1", ...who };
  return host.call("host-local", { env, stdin: Buffer.from(JSON.stringify({ ...config, ...more })) });
}

/** Addresses by the container that has them, as the files say. */
function held(): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const path of leases().filter((name) => name.startsWith("net1/"))) {
    const [id = ""] = readFileSync(join(dirname(directory), path), "utf8").split("\r\n");
    found[id] = [...(found[id] ?? []), path].sort();
  }
  return found;
}

/** Something put into the records. */
interface Forgery {
  /** Which of the names that are there, by its share of them, or a name of its own. */
  readonly name: number | string;
  readonly below: "" | "leases";
  readonly what: "link" | "file" | "directory" | "lease" | "nothing";
  readonly text: string;
}

const words = fc.constantFrom("10.90.9.2", "10.90.9.2,10.90.9.3", "fd00:9::2", "lock", "../../../../tmp/outside/bystander", "x");
const boots = fc.constantFrom("BOOT", "00000000", "x");
const text = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(words, boots).map((parts) => parts.join(" ")) },
  { weight: 2, arbitrary: fc.tuple(words, boots, fc.constantFrom("4:1", "x"), hostileText).map((parts) => parts.join(" ")) },
  { weight: 1, arbitrary: fc.constantFrom("full", "1 BOOT", bystander, "/tmp/outside", ".", "leases") },
  { weight: 1, arbitrary: hostileText },
);
const forgery: fc.Arbitrary<Forgery> = fc.record({
  name: fc.oneof(
    { weight: 2, arbitrary: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }) },
    {
      weight: 2,
      arbitrary: fc.constantFrom(
        "one,eth0",
        "two,",
        "new,eth0",
        ",",
        "x,../y",
        "!10.90.9.0",
        "!fd00:9::",
        ".boot",
        ".new",
        "leases",
        "lock",
      ),
    },
    { weight: 1, arbitrary: fc.constantFrom("10.90.9.2", "10.90.9.9", "fd00:9::9", "10.90.9.300") },
    { weight: 1, arbitrary: hostileText },
  ),
  below: fc.constantFrom<Forgery["below"][]>("", "", "leases"),
  what: fc.constantFrom<Forgery["what"][]>("link", "link", "link", "file", "directory", "lease", "nothing"),
  text,
});

/** @returns whether that can be done at all */
function forge(home: string, { name, below, what, text: said }: Forgery): boolean {
  try {
    const place = join(home, below);
    if (!lstatSync(place).isDirectory()) return false; // by now it may be a link
    const there = readdirSync(place).sort();
    const entry = typeof name === "string" ? name : (there[Math.floor(name * there.length)] ?? "x");
    if (entry === "" || entry.includes("/") || entry.startsWith("..") || entry === ".") return false;
    const path = join(place, entry);
    const words = said.replace("BOOT", readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8));
    rmSync(path, { recursive: true, force: true });
    if (what === "link") symlinkSync(words, path);
    else if (what === "file") writeFileSync(path, words);
    else if (what === "directory") mkdirSync(path);
    else if (what === "lease") linkSync(join(directory, readdirSync(directory).find((one) => one.startsWith("10.")) ?? ""), path);
    return true;
  } catch {
    return false; // no file system has such a name or text
  }
}

describe("records of host-local", () => {
  const tried = new Tried("records of host-local");

  it("that mean no good are no obstacle, and nobody's loss", () => {
    let leased = 0;
    const input = fc.record({ forged: fc.array(forgery, { minLength: 1, maxLength: 4 }), sealed: fc.boolean() });
    tryAll(input, {
      weight: 5,
      holds({ forged, sealed }) {
        for (const path of ["/var/lib/cni", dirname(bystander)]) rmSync(path, { recursive: true, force: true });
        mkdirSync(dirname(bystander));
        writeFileSync(bystander, "untouched");
        for (const id of ["one", "two"]) expect(call("ADD", { id }).exitCode).toBe(0);
        const before = held();
        const homes = ["/var/lib/cni/podlink/ipam/net1", "/var/lib/cni/networks/.podlink/net1"];
        const home = homes.find((path) => existsSync(path)) ?? "";
        const times = [directory, join(home, "leases"), home].map((path) => [path, lstatSync(path).mtimeMs / 1000] as const);
        notForEver(JSON.stringify({ forged, sealed }));
        const made = forged.filter((one) => forge(home, one)).length;
        // as somebody does who knows how it is seen that a file was changed
        if (sealed) for (const [path, time] of times) if (existsSync(path)) lutimesSync(path, time, time);
        tried.count(made === 0 ? "not to be made" : "made");

        const added = call("ADD", { id: "new" });
        if (added.exitCode === 0) {
          const { one, two, new: own } = held();
          expect({ one, two }).toEqual(before);
          expect(own).toHaveLength(2);
          leased++;
        }
        expect(call("DEL", { id: "new" }).exitCode).toBe(0);
        expect(call("DEL", { id: "stranger" }).exitCode).toBe(0);
        const keeping = { "cni.dev/valid-attachments": ["one", "two"].map((containerID) => ({ containerID, ifname: "eth0" })) };
        expect(call("GC", { more: keeping }).exitCode).toBe(0);
        const { one, two } = held();
        expect({ one, two }, "after others have come and gone").toEqual(before);
        call("STATUS");

        rmSync(home, { recursive: true, force: true });
        expect(call("GC", { more: keeping }).exitCode).toBe(0);
        expect(held(), "without what was forged").toEqual(before);
        for (const id of ["one", "two"]) expect(call("DEL", { id }).exitCode).toBe(0);
        expect(held()).toEqual({});
        expect([readdirSync(dirname(bystander)), readFileSync(bystander, "utf8")]).toEqual([["bystander"], "untouched"]);
      },
    });
    expect(leased).toBeGreaterThan(0);
  });
});
