import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { plugins } from "../../src/plugins/index.ts";
import { Caller, type Json } from "../support/call-plugin.ts";
import { exampleOf } from "../support/examples.ts";
import { needs, supports } from "../support/kernel-features.ts";
import { freshNode, hideMachineState, makeSandbox, temporaryDirectory } from "../support/node.ts";

// What every type that has its addresses from an IPAM plugin hands on to it, whosever that plugin is. No type is named here.

const home = temporaryDirectory();
let caller: Caller;
beforeAll(() => {
  hideMachineState();
  caller = new Caller(home);
});
beforeEach(freshNode);

/** An IPAM plugin of somebody else's, which writes down how it was called. */
interface Foreign {
  /** CNI_PATH: it comes before podlink's own. */
  readonly path: string;
  /** Verbs with the configuration that came with each. */
  calls(): { verb: string; config: Json }[];
}

/** @param failures what it answers to these verbs instead of success */
function makeForeign(name: string, failures: Readonly<Record<string, Json>> = {}): Foreign {
  const directory = mkdtempSync(join(home, "foreign-"));
  const seen = join(directory, "seen");
  mkdirSync(seen);
  for (const [verb, error] of Object.entries(failures)) writeFileSync(join(directory, `${verb}.error`), JSON.stringify(error));
  const program = join(directory, name);
  // Of the shell alone: there is no PATH
  const script = `
    read -r config
    set -- ${seen}/*
    [ -e "$1" ] || shift
    printf '%s %s\\n' "$CNI_COMMAND" "$config" > ${seen}/$(($# + 100))
    [ -e ${directory}/$CNI_COMMAND.error ] || exit 0
    read -r error < ${directory}/$CNI_COMMAND.error
    printf '%s' "$error"
    exit 1`;
  writeFileSync(program, `#!/bin/sh\n${script}\n`);
  chmodSync(program, 0o755);
  const calls = () => {
    const read = [];
    for (let number = 100; existsSync(join(seen, String(number))); number++) {
      const [, verb = "", config = ""] = /^(\w+) (.*)$/m.exec(readFileSync(join(seen, String(number)), "utf8")) ?? [];
      read.push({ verb, config: JSON.parse(config) });
    }
    return read;
  };
  return { path: `${directory}:${home}`, calls };
}

const delegating = Object.values(plugins).flatMap((plugin) => {
  const { config, kind, site } = exampleOf(plugin.type);
  return kind === "interface" && config.ipam !== undefined ? [{ ...plugin, plugin, config, site }] : [];
});

describe.each(delegating)("type $type", ({ plugin, type, config: example, site }) => {
  const config = (name: string, more: Json = {}): Json => ({ ...example, cniVersion: "1.1.0", ...more, ipam: { type: name } });
  const none = { prevResult: undefined };
  const lists = { "cni.dev/valid-attachments": [], "cni.dev/attachments": [{ containerID: "a", ifname: "eth0" }] };

  it("hands on DEL, without a namespace or with one that is another's", () => {
    const { calls, path } = makeForeign("foreign");
    const netns = makeSandbox().path;
    for (const where of ["", "/run/netns/gone", netns]) {
      caller.succeed({ type, command: "DEL", config: config("foreign", none), netns: where, env: { CNI_PATH: path } });
    }
    expect(calls().map(({ verb }) => verb)).toEqual(["DEL", "DEL", "DEL"]);
  });

  it.each([
    ["both lists", lists],
    ["nothing valid", { "cni.dev/valid-attachments": null }],
    ["the older list", { "cni.dev/attachments": [] }],
  ])("hands on GC as it came, with %s", (_title, keys) => {
    const { calls, path } = makeForeign("foreign");
    caller.succeed({ type, command: "GC", config: config("foreign", keys), env: { CNI_PATH: path } });
    expect(calls()).toEqual([{ verb: "GC", config: config("foreign", keys) }]);
  });

  it("hands on no GC that does not say what is valid", () => {
    const { calls, path } = makeForeign("foreign");
    caller.succeed({ type, command: "GC", config: config("foreign"), env: { CNI_PATH: path } });
    expect(calls()).toEqual([]);
  });

  it("reports what of GC failed there, when all else is done", () => {
    const { path } = makeForeign("foreign", { GC: { code: 100, msg: "the store is away" } });
    const error = caller.fail({ type, command: "GC", config: config("foreign", lists), env: { CNI_PATH: path } });
    expect(error.msg).toContain("the store is away");
  });

  describe.skipIf(!supports(...site.needs))(`on a node that has what it needs${needs(...site.needs)}`, () => {
    beforeEach(() => void site.arrange());

    it.each([50, 51])("fails STATUS with the IPAM plugin's own code %i, words and details", (code) => {
      const said = { code, msg: "no addresses", details: "ask for more" };
      const { path } = makeForeign("foreign", { STATUS: said });
      expect(caller.fail({ type, command: "STATUS", config: config("foreign"), env: { CNI_PATH: path } })).toMatchObject(said);
    });

    it("is ready with an IPAM plugin that knows no STATUS", () => {
      const { calls, path } = makeForeign("foreign", { STATUS: { code: 4, msg: "unknown CNI_COMMAND: STATUS" } });
      caller.succeed({ type, command: "STATUS", config: config("foreign"), env: { CNI_PATH: path } });
      expect(calls()).toHaveLength(1);
    });

    const own = plugin.ownIpam === true;
    it(`of two IPAM plugins of one name asks ${own ? "podlink's own" : "the first on CNI_PATH"}`, () => {
      const refusal = { code: 1, msg: "incompatible CNI versions" };
      const { calls, path } = makeForeign("host-local", { ADD: refusal, DEL: refusal });
      const ipam = { type: "host-local", ranges: [[{ subnet: "10.90.77.0/24", gateway: "10.90.77.1" }]] };
      const call = { type, config: { ...config("host-local"), ipam }, netns: makeSandbox().path, env: { CNI_PATH: path } };
      if (own) {
        caller.succeed({ ...call, command: "ADD" });
        caller.succeed({ ...call, command: "DEL" });
        expect(calls()).toEqual([]);
      } else {
        expect(caller.fail({ ...call, command: "ADD" })).toMatchObject(refusal);
        expect(calls()[0]).toMatchObject({ verb: "ADD" });
      }
    });
  });
});
