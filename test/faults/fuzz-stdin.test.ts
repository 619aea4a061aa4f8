import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { atLeast, type Version, versions } from "../../src/cni/version.ts";
import { plugins } from "../../src/plugins/index.ts";
import type { Json } from "../support/call-plugin.ts";
import { FuzzedType } from "../support/fuzz/fuzzed-type.ts";
import { hostileBytes, hostileValue } from "../support/fuzz/hostile.ts";
import { protectMachine } from "../support/fuzz/machine.ts";
import { mutate, mutations, withDoubledKeys } from "../support/fuzz/mutations.ts";
import { isWhole, seed, Tried, tryAll, watchForHangs } from "../support/fuzz/runs.ts";
import { keysOf, objectsOf, readSchema, textPlaces, withValueAt } from "../support/fuzz/schema-values.ts";
import { WatchedHost } from "../support/fuzz/watched-host.ts";
import { supports } from "../support/kernel-features.ts";
import { expectResultShape } from "../support/result-shapes.ts";

// Configurations on stdin that mean no good, for every type there is: one error or a valid result, and no change by what failed.

let host: WatchedHost;
beforeAll(() => {
  protectMachine();
  host = new WatchedHost("/tmp/bin");
});
watchForHangs();
const tried = new Tried("configurations on stdin");

const commands = ["ADD", "ADD", "ADD", "ADD", "CHECK", "DEL", "DEL", "GC", "STATUS"] as const;

/** What each verb needs beside. */
const needed: Readonly<Record<string, Json>> = {
  GC: { "cni.dev/valid-attachments": [{ containerID: "cid-1", ifname: "eth0" }] },
};

describe.each(Object.keys(plugins))("%s", (type) => {
  let fuzzed: FuzzedType;
  let result: Json = {};
  let sinceLook = 0;
  let attached = 0;

  beforeAll(() => {
    fuzzed = new FuzzedType(type, host);
    fuzzed.setUp();
  });
  afterAll(() => fuzzed.dispose());

  /** Looks at the node where there was a change, and now and then where none is said to have been made. */
  function look(steps: number): void {
    if (steps === 0 && ++sinceLook < 10) return;
    sinceLook = 0;
    if (fuzzed.expectClean()) fuzzed.setUp();
  }

  /** Tries a call; one that attaches must say what the specification has, pass CHECK, and go without a trace. */
  function attempt(command: string, stdin: Uint8Array): void {
    const { exitCode, stdout, report } = fuzzed.call(command, stdin);
    tried.count(exitCode === 0 ? "accepted" : "refused");
    let steps = report.steps.length;
    if (exitCode === 0 && command === "ADD") {
      attached++;
      const config: Json = JSON.parse(Buffer.from(stdin).toString());
      result = JSON.parse(stdout);
      const version = result.cniVersion as Version;
      expectResultShape(stdout, version);
      const later = Buffer.from(JSON.stringify({ ...config, prevResult: result }));
      if (atLeast(version, "0.4.0")) expect(fuzzed.call("CHECK", later)).toMatchObject({ exitCode: 0 });
      expect(fuzzed.call("DEL", later)).toMatchObject({ exitCode: 0 });
      steps = 1;
    }
    look(steps);
  }

  it("takes or refuses configurations that were mutated", () => {
    const schema = readSchema(type);
    const keys = keysOf(schema);
    const input = fc.record({
      command: fc.constantFrom(...commands),
      version: fc.constantFrom(...versions, "1.1.0" as const),
      more: objectsOf(schema),
      changes: mutations(keys),
    });
    tryAll(input, {
      weight: 2,
      holds({ command, version, more, changes }) {
        const spoken = needed[command] === undefined && command !== "STATUS" ? version : "1.1.0";
        const { cniVersion: _, name: _name, ipam, ...chosen } = more as Json & { ipam?: object };
        const base: Json = { ...fuzzed.config(spoken), ...chosen, ...needed[command] };
        const merged =
          ipam === undefined
            ? base
            : { ...base, ipam: { ...(base.ipam as object), ...ipam, type: (base.ipam as Json | undefined)?.type } };
        const previous = command === "CHECK" ? { prevResult: result } : {};
        const changed = mutate({ ...merged, ...previous }, changes);
        attempt(command, Buffer.from(JSON.stringify(fuzzed.inOneNetwork(changed)) ?? ""));
      },
    });
  });

  it("takes or refuses keys that stand there twice, and bytes that are no JSON", () => {
    const keys = keysOf(readSchema(type));
    const doubled = fc.array(fc.tuple(fc.constantFrom(...keys, "__proto__"), hostileValue), { maxLength: 2 });
    const twice = doubled.map((more) => Buffer.from(withDoubledKeys(fuzzed.config("1.0.0"), more)));
    const text = fc.constant("").map(() => JSON.stringify(fuzzed.config("1.0.0")));
    const input = fc.tuple(fc.constantFrom(...commands), fc.oneof<fc.Arbitrary<Uint8Array>[]>(twice, hostileBytes(text)));
    tryAll(input, { holds: ([command, stdin]) => attempt(command, stdin) });
  });

  it("refuses what would end a text in the kernel, wherever a text can stand", () => {
    const places = textPlaces(readSchema(type));
    expect(places).toContainEqual(["name"]);
    for (const place of places.filter((_, index) => isWhole || index % 3 === seed % 3)) {
      for (const command of ["ADD", "DEL"]) {
        for (const text of ["\0", "/sys/devices/\0"]) {
          const config = { ...fuzzed.config("1.1.0"), prevResult: result };
          attempt(command, Buffer.from(JSON.stringify(fuzzed.inOneNetwork(withValueAt(config, place, text)))));
        }
      }
    }
  });

  it("delegates to no type that is no IPAM, itself least of all", () => {
    for (const command of new Set(commands)) {
      for (const other of new Set([type, "bridge", "podlink", "portmap"])) {
        const config: Json = { ...fuzzed.config("1.1.0"), ...needed[command], prevResult: result };
        attempt(command, Buffer.from(JSON.stringify({ ...config, ipam: { ...(config.ipam as object), type: other } })));
      }
    }
  });

  it("leaves the node as it was", () => {
    fuzzed.expectClean();
    if (supports(...fuzzed.example.site.needs)) expect(attached, "else nothing was tried but refusals").toBeGreaterThan(0);
  });
});
