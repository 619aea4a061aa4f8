import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { allocate } from "../../../src/ipam/allocator.ts";
import { makeRangeSets } from "../../../src/ipam/range-set.ts";
import { release, releaseStale } from "../../../src/ipam/release.ts";
import { TempStore } from "./temp-store.ts";

// Processes that are killed in front of each system call that changes a file, by strace.

const script = new URL("./calling-process.ts", import.meta.url).pathname;
const node = [process.execPath, "--disable-warning=ExperimentalWarning", script];
const changes = "?mkdir,mkdirat,?link,linkat,?symlink,symlinkat,?rename,?renameat,renameat2,?unlink,unlinkat,utimensat,write";
const hasStrace = spawnSync("strace", ["--version"]).status === 0;

const sets = makeRangeSets([[{ subnet: "10.7.0.0/24" }], [{ subnet: "fd07::/64" }]]);
const owner = (id: string) => ({ id, ifname: "eth0" });

function add(temp: TempStore, id: string): string[] {
  using store = temp.open();
  const grants = allocate(store, { sets, requests: [], owner: owner(id), warn: () => {} });
  return grants.map(({ address }) => String(address.address));
}

function leasesOf(temp: TempStore, id: string): string[] {
  return Object.entries(temp.files()).flatMap(([name, text]) => (text === `${id}\r\neth0` ? [name] : []));
}

/** @returns whether the process came so far that it was killed */
function killAt(point: number, { dir, command }: { dir: string; command: string }): boolean {
  const inject = ["-e", `trace=${changes}`, "-e", `inject=${changes}:signal=KILL:when=${point}`];
  const { status, signal, stderr } = spawnSync("strace", ["-f", "-o", "/dev/null", ...inject, ...node, dir, command], {
    encoding: "utf8",
  });
  expect(signal === "SIGKILL" || status === 0, stderr).toBe(true);
  return signal === "SIGKILL";
}

describe.skipIf(!hasStrace)(`a call that is killed in front of any change${hasStrace ? "" : " (needs strace)"}`, () => {
  it.each(["ADD", "DEL", "GC"])("%s leaves what the next calls put right", { timeout: 120_000 }, (command) => {
    let points = 0;
    for (let isKilled = true; isKilled; points++) {
      using temp = new TempStore();
      rmSync(temp.dir, { recursive: true });
      expect(add(temp, "other")).toEqual(["10.7.0.2", "fd07::2"]);
      if (command !== "ADD") add(temp, "victim");
      writeFileSync(join(temp.dir, "10.7.0.99"), ""); // and the reference has been killed before
      isKilled = killAt(points + 1, { dir: temp.dir, command });
      expect(leasesOf(temp, "other")).toEqual(["10.7.0.2", "fd07::2"]);
      if (points % 2 === 0) {
        using store = temp.open();
        release(store, owner("victim"));
      } else {
        using store = temp.open();
        releaseStale(store, [owner("other")]);
      }
      expect(Object.keys(temp.files()).filter((name) => !name.startsWith("last_reserved_ip."))).toEqual(["10.7.0.2", "fd07::2"]);
      expect(add(temp, "victim")).toHaveLength(2);
      expect(add(temp, "next")).toHaveLength(2);
      expect(temp.warnings.filter((text) => !text.includes("10.7.0.99"))).toEqual([]);
    }
    expect(points).toBeGreaterThan(5);
  });
});
