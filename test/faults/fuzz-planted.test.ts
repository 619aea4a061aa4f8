import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { recordKey, releaseRequestPath, requestRelease } from "../../src/ipam/dhcp-records.ts";
import { hostLinkName } from "../../src/link/names.ts";
import { plugins } from "../../src/plugins/index.ts";
import { ResultCache } from "../../src/runtime/cache.ts";
import { logCall } from "../../src/runtime/call-log.ts";
import { fakeShell } from "../support/fake-shell.ts";
import { FuzzedType } from "../support/fuzz/fuzzed-type.ts";
import { protectMachine } from "../support/fuzz/machine.ts";
import { notForEver, Tried, watchForHangs } from "../support/fuzz/runs.ts";
import { WatchedHost } from "../support/fuzz/watched-host.ts";
import { output } from "../support/node.ts";

// What podlink leaves on disk is root's alone, but for what the reference's format wants otherwise; and where somebody put a link or a
// pipe in the place of a file, what that leads to is neither written nor waited for.

let host: WatchedHost;
beforeAll(() => {
  process.umask(0); // a runtime may have any
  protectMachine();
  host = new WatchedHost("/tmp/bin");
});
watchForHangs();
const tried = new Tried("links and pipes planted");

const homes = ["/var/lib/cni", "/run/cni", "/var/log/podlink"];

interface Found {
  readonly path: string;
  readonly kind: "directory" | "file" | "link" | "other";
  readonly mode: number;
}

/** Everything below podlink's directories. */
function everything(): Found[] {
  return homes.flatMap((home) => {
    if (lstatSync(home, { throwIfNoEntry: false }) === undefined) return [];
    const below = readdirSync(home, { recursive: true, encoding: "utf8" }).map((name) => join(home, name));
    return [home, ...below].map((path): Found => {
      const stat = lstatSync(path);
      const kind = stat.isDirectory() ? "directory" : stat.isFile() ? "file" : stat.isSymbolicLink() ? "link" : "other";
      return { path, kind, mode: stat.mode & 0o7777 };
    });
  });
}

/** What others than root may look at: what the reference leaves open, whose tools need not be root's. */
const open = [
  { path: /^\/(var\/lib|run)\/cni$/, mode: 0o755 },
  { path: /^\/var\/lib\/cni\/networks(\/[^/]+)?$/, mode: 0o755 },
  { path: /^\/var\/lib\/cni\/networks\/[^/]+\/last_reserved_ip\.\d+$/, mode: 0o644 },
  { path: /^\/var\/log\/podlink$/, mode: 0o755 },
];

/** 0600, and 0700 for directories, or less; a link has no permissions of its own. */
function expectPrivate(found: readonly Found[]): void {
  const tooOpen = found.filter(({ path, kind, mode }) => {
    const allowed = open.find((one) => one.path.test(path))?.mode ?? (kind === "directory" ? 0o700 : 0o600);
    return kind !== "link" && (mode & ~allowed) !== 0;
  });
  expect(tooOpen.map(({ path, mode }) => `${mode.toString(8)} ${path}`)).toEqual([]);
}

/** A directory with one file, to which links lead. */
const VICTIMS = "/tmp/victims";

beforeEach(() => {
  rmSync(VICTIMS, { recursive: true, force: true });
  mkdirSync(VICTIMS);
  writeFileSync(join(VICTIMS, "there"), "untouched", { mode: 0o600 });
});

function expectUntouched(): void {
  expect(readdirSync(VICTIMS)).toEqual(["there"]);
  expect(readFileSync(join(VICTIMS, "there"), "utf8")).toBe("untouched");
}

/** What is put in a file's place. */
const plants: readonly { title: string; plant(path: string): void }[] = [
  { title: "a link to a file", plant: (path) => symlinkSync(join(VICTIMS, "there"), path) },
  { title: "a link to where nothing is", plant: (path) => symlinkSync(join(VICTIMS, "missing"), path) },
  { title: "a pipe", plant: (path) => void output("mkfifo", path) },
];

describe.each(Object.keys(plugins))("%s", (type) => {
  let fuzzed: FuzzedType;
  beforeAll(() => {
    fuzzed = new FuzzedType(type, host);
    fuzzed.setUp();
  });
  afterAll(() => fuzzed.dispose());
  const config = (more = {}) => Buffer.from(JSON.stringify({ ...fuzzed.config("1.1.0"), ...more }));

  it("leaves files for root alone, and follows no link that stands in the place of one", () => {
    const others = new Set(everything().map(({ path }) => path));
    const added = fuzzed.call("ADD", config());
    const made = everything();
    fuzzed.call("DEL", config());
    expectPrivate(made);
    const attachment = { network: fuzzed.example.config.name, containerId: "cid-1", ifname: "eth0" };
    const temporary = join("/run/cni/tuning", `.${hostLinkName(attachment)}`);
    const own = made.filter(
      ({ path, kind }) => (kind === "file" || kind === "link") && (fuzzed.example.before.length === 0 || !others.has(path)),
    );
    const files = own.map(({ path }) => path);
    for (const path of new Set([...files, ...(type === "tuning" ? [temporary] : [])])) {
      for (const { title, plant } of plants) {
        notForEver(`${title} at ${path}`);
        tried.count(title);
        rmSync(path, { force: true });
        mkdirSync(dirname(path), { recursive: true });
        plant(path);
        for (const command of ["ADD", "CHECK", "DEL", "GC", "STATUS"]) {
          fuzzed.call(
            command,
            config({ "cni.dev/valid-attachments": [], prevResult: fuzzed.config("1.1.0").prevResult ?? { ips: [] } }),
          );
        }
        expectUntouched();
        rmSync(path, { force: true });
        expect(fuzzed.call("DEL", config()), `${title} at ${path}`).toMatchObject({ exitCode: 0 });
      }
    }
    if (fuzzed.expectClean()) fuzzed.setUp();
    expect(fuzzed.call("ADD", config()).exitCode).toBe(added.exitCode);
    expect(fuzzed.call("DEL", config()).exitCode).toBe(0);
  });
});

describe("a link to a directory", () => {
  const config = (more = {}) => {
    const ipam = { type: "host-local", ranges: [[{ subnet: "10.90.9.0/24" }]] };
    return Buffer.from(JSON.stringify({ cniVersion: "1.1.0", name: "net1", type: "bridge", ipam, ...more }));
  };
  const env = { CNI_CONTAINERID: "cid-1", CNI_IFNAME: "eth0", CNI_NETNS: "/run/netns/none" };
  const call = (command: string, stdin = config()) =>
    host.call("host-local", { env: { CNI_COMMAND: command, ...(command === "GC" || command === "STATUS" ? {} : env) }, stdin });

  it.each(["/var/lib/cni/networks/net1", "/var/lib/cni/podlink/ipam/net1", "/var/lib/cni/podlink/ipam/net1/leases"])(
    "in the place of %s is not followed",
    (path) => {
      rmSync("/var/lib/cni", { recursive: true, force: true });
      expect(call("ADD").exitCode).toBe(0);
      expect(lstatSync(path).isDirectory()).toBe(true);
      rmSync(path, { recursive: true });
      symlinkSync(VICTIMS, path);
      tried.count("a link to a directory");
      for (const command of ["STATUS", "ADD", "DEL"]) call(command);
      for (const more of [{ "cni.dev/valid-attachments": [] }, {}]) call("GC", config(more));
      expectUntouched();
      expectPrivate(everything());
      rmSync(path, { recursive: true });
      expect(call("ADD").exitCode).toBe(0);
      expect(call("DEL").exitCode).toBe(0);
      expectUntouched();
    },
  );
});

describe.each(plants)("$title", ({ plant }) => {
  it("in the place of the log is not written to, and not waited for by the reader", () => {
    rmSync("/var/log/podlink", { recursive: true, force: true });
    const report = { type: "bridge", command: "ADD", ms: 1, steps: [] };
    logCall(report, {});
    expectPrivate(everything());
    for (const path of ["/var/log/podlink/podlink.log", "/var/log/podlink/podlink.log.1"]) {
      rmSync(path, { force: true });
      plant(path);
    }
    logCall(report, { PODLINK_LOG_SIZE: "1" });
    const { type } = fakeShell();
    notForEver("logs");
    expect(type("logs").stdout).toBe("");
    expectUntouched();
  });

  it("in the place of a remembered result is none", () => {
    for (const path of ["/var/lib/cni/results", "/var/log/podlink"]) rmSync(path, { recursive: true, force: true });
    const cache = new ResultCache("/var/lib/cni");
    const key = { network: "net1", containerId: "cid-1", ifname: "eth0" };
    const entry = { ...key, netns: undefined, config: Buffer.from("{}"), cniArgs: [], capabilityArgs: {}, result: {} };
    cache.write(entry);
    expectPrivate(everything());
    rmSync(cache.path(key));
    plant(cache.path(key));
    notForEver("results");
    expect([cache.read(key), cache.list()]).toEqual([undefined, []]);
    cache.write(entry);
    expect(cache.read(key)).toMatchObject(key);
    cache.remove(key);
    plant(cache.path(key));
    cache.remove(key);
    expect(readdirSync("/var/lib/cni/results")).toEqual([]);
    expectUntouched();
  });

  it("in the place of a request to give a lease back is not followed", () => {
    const key = recordKey({ network: "net1", containerId: "cid-1", ifname: "eth0" });
    const [record, release] = [join("/var/lib/cni/dhcp", `${key}.json`), join("/var/lib/cni/dhcp", `${key}.release`)];
    for (const path of [record, release]) rmSync(path, { force: true });
    mkdirSync(dirname(record), { recursive: true, mode: 0o700 });
    writeFileSync(record, "{}", { mode: 0o600 });
    plant(release);
    notForEver("release");
    try {
      requestRelease(releaseRequestPath(key) ?? "");
    } catch (error) {
      expect(error).toMatchObject({ code: "ENXIO" }); // a pipe that nobody reads
    }
    expectUntouched();
    for (const path of [record, release]) rmSync(path, { force: true });
  });
});
