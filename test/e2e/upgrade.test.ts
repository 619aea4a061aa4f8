import { spawn, spawnSync } from "node:child_process";
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { bin, requireBuilt } from "../support/executable.ts";

const UPGRADES = 4;
const CALLERS = 4;

/** Two directories as shipped, that differ in the executable, and one to install them into in turns. */
function setUp() {
  requireBuilt();
  const directory = mkdtempSync(join(tmpdir(), "podlink-upgrade-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const other = join(directory, "other");
  cpSync(bin, other, { recursive: true, verbatimSymlinks: true });
  appendFileSync(join(other, "podlink"), "\0");
  const live = join(directory, "live");
  mkdirSync(live);
  return { directory, live, versions: [bin, other] };
}

/** One call of the live host-local, which needs no namespace. @returns what went wrong, or nothing */
function call(command: "ADD" | "DEL", who: { live: string; directory: string; containerId: string }): Promise<string> {
  return new Promise((resolve) => {
    const env = { CNI_COMMAND: command, CNI_CONTAINERID: who.containerId, CNI_IFNAME: "eth0", CNI_NETNS: "/nonexistent" };
    const child = spawn(join(who.live, "host-local"), [], { env: { ...env, PODLINK_LOG: "off" }, cwd: "/", stdio: "pipe" });
    let said = "";
    child.stdout.on("data", (text: Buffer) => (said += text));
    child.stderr.on("data", (text: Buffer) => (said += text));
    child.on("error", (error) => resolve(error.message));
    child.on("close", (status) => resolve(status === 0 ? "" : `${command}: ${status}: ${said}`));
    child.stdin.on("error", () => {});
    const ipam = { type: "host-local", subnet: "10.90.0.0/24", dataDir: join(who.directory, "leases") };
    child.stdin.end(JSON.stringify({ cniVersion: "1.1.0", name: "upgrade", ipam }));
  });
}

function install(from: string, live: string): Promise<number | null> {
  return new Promise((resolve) => {
    spawn(join(from, "podlink"), ["install", "--bin-dir", live], { env: {}, stdio: "ignore" }).on("close", resolve);
  });
}

describe("an upgrade", () => {
  it("fails none of the calls that run meanwhile", async () => {
    const { directory, live, versions } = setUp();
    expect(spawnSync(join(bin, "podlink"), ["install", "--bin-dir", live], { env: {} }).status).toBe(0);
    let upgrading = true;
    const callers = Array.from({ length: CALLERS }, async (_, index) => {
      const failures: string[] = [];
      let calls = 0;
      for (; upgrading; calls += 2) {
        const who = { live, directory, containerId: `cid-${index}` };
        failures.push(await call("ADD", who), await call("DEL", who));
      }
      return { calls, failures: failures.filter((text) => text !== "") };
    });
    const exits: (number | null)[] = [];
    for (let i = 1; i <= UPGRADES; i++) exits.push(await install(versions[i % 2] ?? bin, live));
    upgrading = false;
    const outcomes = await Promise.all(callers);
    expect(exits).toEqual(Array(UPGRADES).fill(0));
    expect(outcomes.flatMap(({ failures }) => failures)).toEqual([]);
    for (const { calls } of outcomes) expect(calls).toBeGreaterThan(UPGRADES);
    expect(readdirSync(join(directory, "leases/upgrade")).filter((name) => name.startsWith("10."))).toEqual([]);
    expect(readdirSync(live).filter((name) => name.startsWith("."))).toEqual([]);
    expect(existsSync(join(live, "podlink.podlink-saved"))).toBe(false);
  });
});
