import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { allocate, DuplicateLeaseError, UnavailableError } from "../../../src/ipam/allocator.ts";
import { LeaseStore } from "../../../src/ipam/lease-store.ts";
import { makeRangeSets } from "../../../src/ipam/range-set.ts";
import { release, releaseStale } from "../../../src/ipam/release.ts";
import { Steps } from "../../../src/support/steps.ts";
import { DyingSteps } from "../../support/call-plugin.ts";
import { TempStore } from "./temp-store.ts";

// Any sequence of calls of ours, whole and killed, of another program on the same directory, and of accidents to the index, against a map
// of who holds which address.

const hosts = ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"];
const families = makeRangeSets([[{ subnet: "10.0.0.0/24", rangeEnd: "10.0.0.5" }], [{ subnet: "fd00::/64" }]]);
const eth0 = (id: string) => ({ id, ifname: "eth0" });

class Model {
  readonly temp = new TempStore();
  /** Owners by address, of both families. */
  readonly held = new Map<string, string>();

  #open(steps: Steps): LeaseStore {
    return LeaseStore.create(this.temp.dir, { steps, warn: (text) => this.temp.warnings.push(text), lockTimeoutMs: 5000 });
  }

  add(id: string, steps: Steps = new Steps()): void {
    using store = this.#open(steps);
    const grants = allocate(store, { sets: families, requests: [], owner: eth0(id), warn: () => {} });
    for (const { address } of grants) this.held.set(String(address.address), id);
  }

  del(id: string, steps: Steps = new Steps()): void {
    using store = this.#open(steps);
    release(store, eth0(id));
    for (const address of this.of(id)) this.held.delete(address);
  }

  gc(valid: readonly string[], steps: Steps = new Steps()): void {
    using store = this.#open(steps);
    releaseStale(store, valid.map(eth0));
    for (const [address, id] of this.held) if (!valid.includes(id)) this.held.delete(address);
  }

  of(id: string): string[] {
    return [...this.held].filter(([, owner]) => owner === id).map(([address]) => address);
  }

  /** Leases as they are on the disk. */
  onDisk(): Map<string, string> {
    const leases = Object.entries(this.temp.files()).filter(([name, text]) => /^(10\.|fd00:)/.test(name) && text !== "");
    return new Map(leases.map(([name, text]) => [name, text.replace("\r\neth0", "")]));
  }

  /** Runs a call that is killed after some changes: it may have changed what it was called for, and nothing else. */
  killed(changes: number, { call, mayChange }: { call: (steps: Steps) => void; mayChange: (id: string) => boolean }): void {
    const before = new Map(this.held);
    try {
      call(new DyingSteps(changes));
    } catch {
      // what there was to learn from it is on the disk
    }
    const after = this.onDisk();
    for (const [address, id] of before) if (!mayChange(id)) expect(after.get(address)).toBe(id);
    for (const [address, id] of after) if (before.get(address) !== id) expect(mayChange(id)).toBe(true);
    this.held.clear();
    for (const [address, id] of after) this.held.set(address, id);
  }

  verify(): void {
    expect([...this.onDisk()].sort()).toEqual([...this.held].sort());
  }
}

type Operation = (model: Model) => void;

const id = fc.constantFrom("a", "b", "c", "d", "e");
const host = fc.constantFrom(...hosts);
const changes = fc.nat(14);

const ours: fc.Arbitrary<Operation> = fc.oneof(
  id.map((id) => (model: Model) => {
    const free = hosts.some((address) => !model.held.has(address));
    if (model.of(id).length > 0) expect(() => model.add(id)).toThrow(DuplicateLeaseError);
    else if (free) model.add(id);
    else expect(() => model.add(id)).toThrow(UnavailableError);
  }),
  id.map((id) => (model: Model) => model.del(id)),
  fc.subarray(["a", "b", "c", "d", "e"]).map((valid) => (model: Model) => model.gc(valid)),
);

const killed: fc.Arbitrary<Operation> = fc.oneof(
  fc.tuple(id, changes).map(([id, changes]) => (model: Model) => {
    model.killed(changes, { call: (steps) => model.add(id, steps), mayChange: (other) => other === id });
  }),
  fc.tuple(id, changes).map(([id, changes]) => (model: Model) => {
    model.killed(changes, { call: (steps) => model.del(id, steps), mayChange: (other) => other === id });
  }),
  changes.map((changes) => (model: Model) => {
    model.killed(changes, { call: (steps) => model.gc(["a", "b"], steps), mayChange: (other) => !["a", "b"].includes(other) });
  }),
);

const foreign: fc.Arbitrary<Operation> = fc.oneof(
  fc.tuple(host, id).map(([address, id]) => ({ temp, held }: Model) => {
    if (held.has(address)) return;
    rmSync(join(temp.dir, address), { force: true });
    writeFileSync(join(temp.dir, address), `${id}\r\neth0`);
    writeFileSync(join(temp.dir, "last_reserved_ip.0"), address);
    held.set(address, id);
  }),
  host.map((address) => ({ temp, held }: Model) => {
    rmSync(join(temp.dir, address), { force: true });
    held.delete(address);
  }),
  fc.tuple(host, id).map(([address, id]) => ({ temp, held }: Model) => {
    rmSync(join(temp.dir, address), { force: true }); // the new file is very likely given the old one's inode
    writeFileSync(join(temp.dir, address), `${id}\r\neth0`);
    held.set(address, id);
  }),
  host.map((address) => ({ temp, held }: Model) => {
    if (!held.has(address)) writeFileSync(join(temp.dir, address), ""); // as the reference leaves it when it is killed
  }),
  fc.constant(({ temp }: Model) => writeFileSync(join(temp.dir, ".new"), "half a lea")),
);

const accidents: fc.Arbitrary<Operation> = fc.oneof(
  fc.tuple(fc.nat(), fc.constantFrom("", "leases")).map(([which, where]) => ({ temp }: Model) => {
    const directory = join(temp.dataDir, ".podlink/net1", where);
    const names = namesIn(directory).filter((name) => name !== "leases");
    const name = names[which % names.length];
    if (name !== undefined) rmSync(join(directory, name), { recursive: true });
  }),
  fc.tuple(id, host).map(([id, address]) => ({ temp, held }: Model) => {
    const path = join(temp.dataDir, ".podlink/net1", `${id},eth0`);
    if (namesIn(join(path, "..")).length === 0 || held.get(address) === id) return;
    rmSync(path, { force: true });
    symlinkSync(`${address} 01234567`, path);
  }),
  fc.constant(({ temp }: Model) => rmSync(join(temp.dataDir, ".podlink"), { recursive: true, force: true })),
  host.map((address) => ({ temp }: Model) => {
    const directory = join(temp.dataDir, ".podlink/net1/leases");
    rmSync(join(directory, address), { force: true, recursive: true });
    mkdirSync(join(directory, address), { recursive: true });
  }),
);

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // there is no index at the moment
  }
}

describe("the store", () => {
  it("holds what a map of addresses holds, whatever happens to it", { timeout: 60_000 }, () => {
    const operation = fc.oneof({ weight: 4, arbitrary: ours }, { weight: 2, arbitrary: killed }, foreign, accidents);
    fc.assert(
      fc.property(fc.array(operation, { minLength: 1, maxLength: 40 }), (operations) => {
        const model = new Model();
        using _temp = model.temp;
        for (const operate of operations) {
          operate(model);
          model.verify();
        }
        // and at the end everything can be released, and everything be leased again
        for (const owner of ["a", "b", "c", "d", "e"]) model.del(owner);
        expect(model.onDisk()).toEqual(new Map());
        for (const owner of ["a", "b", "c", "d"]) model.add(owner);
        model.verify();
      }),
      { numRuns: 150 },
    );
  });
});
