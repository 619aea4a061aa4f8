import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type Implementation, podlink, reference } from "../support/implementation.ts";
import { freshNode, hideMachineState } from "../support/node.ts";
import { lacking } from "../support/reference.ts";

// What a call is refused for before a plugin looks at its own configuration: the reference's words and codes, since runtimes and people
// search for them.

const good = {
  CNI_COMMAND: "ADD",
  CNI_CONTAINERID: "cid-1",
  CNI_NETNS: "/run/netns/none",
  CNI_IFNAME: "eth0",
  CNI_PATH: "/nowhere",
};
const config = { cniVersion: "1.1.0", name: "net1", type: "host-local", ipam: { type: "host-local", subnet: "10.1.2.0/24" } };

interface Case {
  readonly title: string;
  readonly env?: Record<string, string | undefined>;
  readonly stdin?: unknown;
  /** Set where podlink's message differs, with the reason; the code is the same unless `code` says another. */
  readonly why?: string;
  readonly code?: number;
}

const cases: readonly Case[] = [
  { title: "a command that does not exist", env: { CNI_COMMAND: "PLUG" } },
  { title: "a command in small letters", env: { CNI_COMMAND: "add" } },
  ...["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"].flatMap((name) => [
    { title: `ADD without ${name}`, env: { [name]: undefined } },
    { title: `ADD with an empty ${name}`, env: { [name]: "" } },
    { title: `CHECK without ${name}`, env: { CNI_COMMAND: "CHECK", [name]: undefined } },
  ]),
  { title: "ADD without anything", env: { CNI_CONTAINERID: undefined, CNI_NETNS: undefined, CNI_IFNAME: undefined } },
  { title: "DEL without a container", env: { CNI_COMMAND: "DEL", CNI_CONTAINERID: undefined } },
  { title: "DEL without an interface", env: { CNI_COMMAND: "DEL", CNI_IFNAME: undefined } },
  { title: "GC without a path", env: { CNI_COMMAND: "GC", CNI_PATH: undefined } },
  { title: "a container ID with a slash", env: { CNI_CONTAINERID: "a/b" } },
  { title: "a container ID that starts with a hyphen", env: { CNI_CONTAINERID: "-a" } },
  { title: "an interface name that is too long", env: { CNI_IFNAME: "x".repeat(16) } },
  { title: "an interface name with a slash", env: { CNI_IFNAME: "a/b" } },
  { title: "an interface name with a colon", env: { CNI_IFNAME: "a:b" } },
  { title: "an interface name with a space", env: { CNI_IFNAME: "a b" } },
  { title: "an interface called ..", env: { CNI_IFNAME: ".." } },
  { title: "an interface name with two faults beside a missing namespace", env: { CNI_IFNAME: "a/b", CNI_NETNS: undefined } },
  { title: "no configuration", stdin: "", why: "what is wrong with JSON is said in other words" },
  { title: "no JSON", stdin: "{", why: "what is wrong with JSON is said in other words" },
  { title: "JSON that is no object", stdin: [], why: "what is wrong with JSON is said in other words" },
  { title: "a name that is a number", stdin: { ...config, name: 1 }, why: "JSON it is, but not a configuration", code: 7 },
  { title: "no name", stdin: { ...config, name: undefined } },
  { title: "an empty name", stdin: { ...config, name: "" } },
  { title: "a name with a space", stdin: { ...config, name: "a b" } },
  { title: "a version that does not exist", stdin: { ...config, cniVersion: "1.2.0" } },
  { title: "a version with a letter", stdin: { ...config, cniVersion: "1.0.0x" } },
  { title: "a version that is none", stdin: { ...config, cniVersion: "new" } },
  { title: "CHECK before 0.4.0", env: { CNI_COMMAND: "CHECK" }, stdin: { ...config, cniVersion: "0.3.1" } },
  { title: "CHECK in no version", env: { CNI_COMMAND: "CHECK" }, stdin: { ...config, cniVersion: undefined } },
  { title: "GC before 1.1.0", env: { CNI_COMMAND: "GC" }, stdin: { ...config, cniVersion: "1.0.0" } },
  { title: "STATUS before 1.1.0", env: { CNI_COMMAND: "STATUS" }, stdin: { ...config, cniVersion: "1.0.0" } },
];

function call({ path }: Implementation, type: string, { env, stdin = config }: Pick<Case, "env" | "stdin">) {
  const program = join(path, type);
  const all = Object.entries({ ...good, ...env }).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const input = typeof stdin === "string" ? stdin : JSON.stringify(stdin);
  return spawnSync(program, { argv0: program, env: Object.fromEntries(all), input, encoding: "utf8" });
}

const missing = lacking(reference.path);

describe.skipIf(missing !== "")(`podlink's protocol beside the reference's${missing}`, () => {
  beforeAll(() => {
    hideMachineState();
    freshNode();
  });

  it.each(cases)("refuses $title", ({ why, code: ownCode, ...each }) => {
    const [theirs, ours] = [reference, podlink].map((implementation) => {
      const { status, stdout } = call(implementation, "host-local", each);
      const { code, msg } = JSON.parse(stdout); // details are podlink's own: the reference has few
      return { status, code, ...(why === undefined ? { msg } : {}) };
    });
    expect(theirs?.status).toBe(1);
    expect(ours).toEqual({ ...theirs, ...(ownCode === undefined ? {} : { code: ownCode }) });
  });

  const types = ["bridge", "host-local", "static", "loopback"];

  it.each(types)("%s names the same versions", (type) => {
    const [theirs, ours] = [reference, podlink].map((implementation) => {
      const { status, stdout } = call(implementation, type, { env: { CNI_COMMAND: "VERSION" }, stdin: { cniVersion: "1.1.0" } });
      return { status, answer: JSON.parse(stdout) };
    });
    expect(ours).toEqual(theirs);
  });

  it.each(types)("%s without a command says on stderr what it is", (type) => {
    const [theirs, ours] = [reference, podlink].map((implementation) => {
      const { status, stdout, stderr } = call(implementation, type, { env: { CNI_COMMAND: undefined } });
      const [about, versions] = stderr.split("\n");
      return { status, stdout, about: about?.replace(/ version .*| v1\.9\.1\+podlink\.[0-9.]+$/, ""), versions };
    });
    expect(ours).toEqual(theirs);
  });
});
