import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { type Implementation, podlink, reference } from "../support/implementation.ts";
import { leases, temporaryDirectory } from "../support/node.ts";
import { lacking } from "../support/reference.ts";

// podlink's host-local and the reference's on one directory, under load, in a range so small that the addresses go round: each finds files
// of the other's making, at addresses and in inodes that were its own a moment ago.

const missing = lacking(reference.path);
const home = temporaryDirectory();
let dataDir = home;
let round = 0;

beforeEach(() => {
  dataDir = join(home, `store-${round++}`);
});

function start({ path }: Implementation, command: string, id: string): Promise<string> {
  // sets of 13 addresses
  const ranges = [[{ subnet: "10.1.2.0/28" }], [{ subnet: "fd01::/124", rangeEnd: "fd01::e" }]];
  const config = { cniVersion: "1.0.0", name: "net1", type: "test", ipam: { type: "host-local", dataDir, ranges } };
  const env = { CNI_COMMAND: command, CNI_CONTAINERID: id, CNI_NETNS: "/run/netns/none", CNI_IFNAME: "eth0", CNI_PATH: path };
  const program = join(path, "host-local");
  const child = spawn(program, { argv0: program, env });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => (text += data));
  child.stdin.end(JSON.stringify(config));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve(text) : reject(new Error(`${command} of "${id}" by ${program}: ${text}`))));
  });
}

const held = () => leases(dataDir).filter((name) => /^net1\/(10\.|fd01)/.test(name));

describe.skipIf(missing !== "")(`podlink and the reference on one store${missing}`, () => {
  it("give no address twice while both come and go, and leave nothing", async () => {
    const live = new Set<string>();
    const sides = [podlink, reference] as const;
    const worker = async (worker: number) => {
      for (let turn = 0; turn < 12; turn++) {
        const id = `w${worker}-${turn}`;
        const [adder, deleter] = [sides[(worker + turn) % 2], sides[(worker + (turn >> 1)) % 2]];
        const { ips } = JSON.parse(await start(adder ?? podlink, "ADD", id)) as { ips: { address: string }[] };
        expect(ips).toHaveLength(2);
        for (const { address } of ips) {
          expect(live).not.toContain(address);
          live.add(address);
          expect(readFileSync(join(dataDir, "net1", address.replace(/\/.*/, "")), "utf8")).toBe(`${id}\r\neth0`);
        }
        for (const { address } of ips) live.delete(address);
        await start(deleter ?? podlink, "DEL", id);
      }
    };
    await Promise.all(Array.from({ length: 6 }, (_, i) => worker(i)));
    expect(held()).toEqual([]);
    await start(podlink, "DEL", "nobody");
    expect(readdirSync(join(dataDir, ".podlink/net1")).sort()).toEqual([".boot", "leases"]);
  });

  it("know of each other's leases: none is given a second one, and each is released by the other", async () => {
    for (const [one, other] of [
      [podlink, reference],
      [reference, podlink],
    ] as const) {
      await start(one, "ADD", "mine");
      await expect(start(other, "ADD", "mine")).rejects.toThrow(
        "has been allocated to mine, duplicate allocation is not allowed",
      );
      await start(other, "DEL", "mine");
      expect(held()).toEqual([]);
      await start(one, "ADD", "mine");
      await start(one, "DEL", "mine");
      expect(held()).toEqual([]);
    }
  });
});
