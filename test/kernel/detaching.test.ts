import { spawnSync } from "node:child_process";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { plugins } from "../../src/plugins/index.ts";
import { Steps } from "../../src/support/steps.ts";
import { Caller, type Json } from "../support/call-plugin.ts";
import { exampleOf } from "../support/examples.ts";
import { Site } from "../support/faults/site.ts";
import { needs, supports } from "../support/kernel-features.ts";
import { freshNode, hideMachineState, ipJson, nodeSnapshot, temporaryDirectory } from "../support/node.ts";

// DEL of every type on a node that is not any more what it was at the ADD. No type is named here.

const directory = temporaryDirectory();
let caller: Caller;
beforeAll(() => {
  hideMachineState();
  caller = new Caller(directory);
});
afterAll(freshNode);

/** A call in the middle of which something else happens. */
class Interrupted extends Steps {
  #left: number;
  readonly #event: () => void;

  constructor(changes: number, event: () => void) {
    super();
    this.#left = changes;
    this.#event = event;
  }

  override run<T>(command: string, change: () => T): T {
    if (this.#left-- === 0) this.#event();
    return super.run(command, change);
  }
}

/** What there is of containers beside links, addresses and routes. */
function withoutLinks(snapshot: unknown): unknown {
  const { network: _, sysctls: _also, ...rest } = snapshot as Json;
  return rest;
}

describe.each(Object.keys(plugins))("DEL of type %s", (type) => {
  const example = exampleOf(type);
  const features = example.site.needs;
  const lacks = needs(...features);
  let site: Site;
  let clean: unknown;

  describe.skipIf(!supports(...features))(`on a node that has changed${lacks}`, () => {
    beforeEach(() => {
      site = new Site(example, caller);
      site.reset();
      site.passBy();
      clean = nodeSnapshot();
    });

    const other = example.everyones ? "" : ", and nothing of the other's";
    it(`takes away all of a container whose namespace is another one's by now${other}`, () => {
      const [gone, other] = [site.prepare("cid-1"), site.prepare("cid-2")];
      const [prevResult, others] = [site.add(gone), site.add(other)];
      site.leave(gone);
      for (const more of [{ prevResult }, {}]) {
        site.succeed("DEL", { ...gone, sandbox: other.sandbox }, more);
        if (!example.everyones) site.succeed("CHECK", other, { prevResult: others });
      }
      site.clear(gone);
      site.succeed("DEL", other);
      site.clear(other);
      expect(nodeSnapshot()).toEqual(clean);
    });

    it("goes on when the kernel deletes the container's links before any of its changes", () => {
      const names = () => ipJson<{ ifname: string }>("link", "show").map(({ ifname }) => ifname);
      const before = names();
      const vanish = () => {
        for (const name of names().filter((each) => !before.includes(each))) spawnSync("ip", ["link", "del", name]);
      };
      for (let at = 0, changes = 1; at < changes; at++) {
        const one = site.prepare("cid-1");
        const prevResult = site.add(one);
        const steps = new Interrupted(at, vanish);
        const call = { type, command: "DEL", containerId: "cid-1", netns: one.sandbox.path, steps };
        const answer = caller.call({ ...call, config: { ...one.config, prevResult } });
        expect(answer, `before change ${at}`).toMatchObject({ exitCode: 0 });
        changes = Math.max(changes, steps.list.length);
        site.clear(one);
        expect(nodeSnapshot(), `before change ${at}`).toEqual(clean);
      }
    });

    it("needs none of the node's links", () => {
      const one = site.prepare("cid-1");
      const prevResult = site.add(one);
      for (const { ifname } of ipJson<{ ifname: string }>("link", "show")) spawnSync("ip", ["link", "del", ifname]);
      site.succeed("DEL", one, { prevResult });
      site.succeed("DEL", one);
      site.clear(one);
      expect(withoutLinks(nodeSnapshot())).toEqual(withoutLinks(clean));
    });
  });
});
