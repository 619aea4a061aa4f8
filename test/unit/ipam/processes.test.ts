import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { FileLock } from "../../../src/sys/file-lock.ts";
import { TempStore } from "./temp-store.ts";

const script = new URL("./allocating-process.ts", import.meta.url).pathname;
const reference = join(process.env.REFERENCE_CNI_PATH ?? "/usr/lib/cni", "host-local");

function start(dir: string, { name, count }: { name: string; count: number }): ChildProcess {
  return spawn(process.execPath, ["--disable-warning=ExperimentalWarning", script, dir, name, String(count)]);
}

/** What a process printed. @throws when it failed or said anything on stderr */
function finish(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const texts = { out: "", err: "" };
    child.stdout?.on("data", (data) => (texts.out += data));
    child.stderr?.on("data", (data) => (texts.err += data));
    child.on("close", (code) =>
      code === 0 && texts.err === "" ? resolve(texts.out) : reject(new Error(`${code}: ${texts.err}${texts.out}`)),
    );
  });
}

describe("several processes on one directory", () => {
  it("lease no address twice and lose none", { timeout: 60_000 }, async () => {
    using temp = new TempStore();
    rmSync(temp.dir, { recursive: true }); // they race for its creation too
    const children = Array.from({ length: 5 }, (_, i) => start(temp.dir, { name: `p${i}`, count: 30 }));
    const kept = (await Promise.all(children.map(finish))).flatMap((text): string[] => JSON.parse(text));
    expect(kept).toHaveLength(5 * 20 * 2);
    expect(new Set(kept).size).toBe(kept.length);
    const leases = Object.keys(temp.files()).filter((name) => !name.startsWith("last_reserved_ip"));
    expect(leases).toEqual(kept.sort());
  });

  it("leave whole leases when they are killed, and block nobody", { timeout: 60_000 }, async () => {
    using temp = new TempStore();
    const victims = Array.from({ length: 3 }, (_, i) => start(temp.dir, { name: `v${i}`, count: 1_000_000 }));
    const ended = victims.map((child) => new Promise((resolve) => child.on("close", resolve)));
    // each runs until the range is full at the latest; the kill comes as soon as there is something to break
    while (!existsSync(join(temp.dir, "10.7.0.20"))) await new Promise((resolve) => setImmediate(resolve));
    for (const victim of victims) victim.kill("SIGKILL");
    await Promise.all(ended);
    const whole = /^v[0-2]-[0-9]+\r\neth0$/;
    const { "last_reserved_ip.0": _v4, "last_reserved_ip.1": _v6, ".new": _half, ...leases } = temp.files();
    expect(Object.values(leases).filter((text) => !whole.test(text))).toEqual([]);
    for (const name of Object.keys(leases)) rmSync(join(temp.dir, name));
    const kept: string[] = JSON.parse(await finish(start(temp.dir, { name: "next", count: 3 })));
    expect(kept).toHaveLength(4);
  });

  it.skipIf(!existsSync(reference))(
    "mix with the reference's host-local (Debian package containernetworking-plugins)",
    { timeout: 60_000 },
    async () => {
      using temp = new TempStore();
      const ranges = [[{ subnet: "10.7.0.0/24" }], [{ subnet: "fd07::/64" }]];
      const ipam = { type: "host-local", dataDir: temp.dataDir, ranges };
      const input = JSON.stringify({ cniVersion: "1.0.0", name: "net1", type: "test", ipam });
      const call = (command: string, id: string) => {
        const env = { CNI_COMMAND: command, CNI_CONTAINERID: id, CNI_NETNS: "/none", CNI_IFNAME: "eth0", CNI_PATH: "/none" };
        return spawn(reference, { env });
      };
      const referenceCall = async (command: string, id: string) => {
        const child = call(command, id);
        child.stdin?.end(input);
        return finish(child);
      };
      const ours = start(temp.dir, { name: "ours", count: 60 });
      const mine = finish(ours);
      const theirs: string[] = [];
      for (let i = 0; i < 40; i++) {
        const result = JSON.parse(await referenceCall("ADD", `theirs-${i}`));
        theirs.push(...result.ips.map((ip: { address: string }) => ip.address.replace(/\/.*/, "")));
      }
      const kept: string[] = JSON.parse(await mine);
      expect(theirs).toHaveLength(80);
      expect(new Set([...kept, ...theirs]).size).toBe(kept.length + theirs.length);
      // each side releases what the other leased
      await referenceCall("DEL", "ours-1");
      const leased = Object.values(temp.files());
      expect(leased).not.toContain("ours-1\r\neth0");
      expect(leased).toContain("ours-2\r\neth0");
      expect(leased).toContain("theirs-0\r\neth0");
    },
  );

  it("are told who holds the lock", () => {
    using temp = new TempStore();
    using _held = FileLock.acquire(join(temp.dir, "lock"), { timeoutMs: 0 });
    const source = readFileSync(script, "utf8").replace("lockTimeoutMs: 60_000", "lockTimeoutMs: 0");
    const { stderr, status } = spawnSync(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", "--input-type=module-typescript", "-", temp.dir, "late", "1"],
      { input: source.replaceAll('"../../../', `"${join(import.meta.dirname, "../../..")}/`), encoding: "utf8" },
    );
    expect(status).toBe(1);
    expect(stderr).toContain(`held by process ${process.pid} (`);
  });
});
