import { describe, expect, it } from "vitest";
import { type Command, commands, overridesNetnsCheck, parseCommand, parseInvocation } from "../../../src/cni/invocation.ts";
import { fullEnv } from "../../support/fake-plugin.ts";

type Verb = Exclude<Command, "VERSION">;

const required: Record<Verb, string[]> = {
  ADD: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
  CHECK: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
  DEL: ["CNI_CONTAINERID", "CNI_IFNAME"],
  GC: ["CNI_PATH"],
  STATUS: [],
};
const variables = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH", "CNI_ARGS"];
const verbs = Object.keys(required) as Verb[];
const cases = verbs.flatMap((verb) =>
  variables.map((variable) => ({ verb, variable, needed: required[verb].includes(variable) })),
);

describe("required variables", () => {
  it.each(cases.filter(({ needed }) => needed))("$verb fails without $variable", ({ verb, variable }) => {
    for (const value of [undefined, ""]) {
      expect(() => parseInvocation(verb, { ...fullEnv(verb), [variable]: value })).toThrow(
        expect.objectContaining({ code: 4, message: `required env variables [${variable}] missing` }),
      );
    }
  });

  it.each(cases.filter(({ needed }) => !needed))("$verb works without $variable", ({ verb, variable }) => {
    for (const value of [undefined, ""]) {
      expect(parseInvocation(verb, { ...fullEnv(verb), [variable]: value })).toMatchObject({ command: verb });
    }
  });

  it.each(verbs.filter((verb) => required[verb].length > 0))("%s names all that are missing, in the table's order", (verb) => {
    expect(() => parseInvocation(verb, {})).toThrow(`required env variables [${required[verb].join(",")}] missing`);
  });
});

const bad = [
  { variable: "CNI_CONTAINERID", value: "-a", message: "invalid characters in containerID", details: "-a" },
  { variable: "CNI_CONTAINERID", value: "a/../b", message: "invalid characters in containerID", details: "a/../b" },
  { variable: "CNI_CONTAINERID", value: "a\n", message: "invalid characters in containerID", details: "a\n" },
  {
    variable: "CNI_IFNAME",
    value: "a123456789012345",
    message: "interface name is too long",
    details: expect.stringContaining("CNI_IFNAME"),
  },
  {
    variable: "CNI_IFNAME",
    value: "éééééééé",
    message: "interface name is too long",
    details: expect.stringContaining("15 bytes"),
  },
  { variable: "CNI_IFNAME", value: ".", message: "interface name is . or ..", details: expect.any(String) },
  { variable: "CNI_IFNAME", value: "..", message: "interface name is . or ..", details: expect.any(String) },
  ...["a/b", "a:b", "a b", "a\tb", "a\u0085b", "a\u00a0b", "a\u2003b"].map((value) => ({
    variable: "CNI_IFNAME",
    value,
    message: "interface name contains / or : or whitespace characters",
    details: expect.stringContaining("CNI_IFNAME"),
  })),
  // a lease could not be told from a damaged file, and the kernel would count up a name with "%d"
  ...["eth\u0001", "\u007feth", "eth\ufffd", "eth%d", "%"].map((value) => ({
    variable: "CNI_IFNAME",
    value,
    message: "interface name contains % or control characters or invalid UTF-8",
    details: expect.stringContaining("CNI_IFNAME"),
  })),
];

describe("invalid values", () => {
  const perVerb = verbs.flatMap((verb) => bad.map((row) => ({ verb, ...row, needed: required[verb].includes(row.variable) })));

  it.each(perVerb.filter(({ needed }) => needed))(
    "$verb refuses $variable=$value",
    ({ verb, variable, value, message, details }) => {
      expect(() => parseInvocation(verb, { ...fullEnv(verb), [variable]: value })).toThrow(
        expect.objectContaining({ code: 4, message, details }),
      );
    },
  );

  it.each(perVerb.filter(({ needed }) => !needed))("$verb does not look at $variable=$value", ({ verb, variable, value }) => {
    expect(parseInvocation(verb, { ...fullEnv(verb), [variable]: value })).toMatchObject({ command: verb });
  });

  it("come before missing ones", () => {
    expect(() => parseInvocation("ADD", { CNI_IFNAME: "a/b" })).toThrow("interface name contains");
  });

  it.each(["ADD", "CHECK", "DEL"] as const)("%s refuses bad CNI_ARGS", (verb) => {
    expect(() => parseInvocation(verb, { ...fullEnv(verb), CNI_ARGS: "x" })).toThrow(expect.objectContaining({ code: 4 }));
  });

  it.each(["GC", "STATUS"] as const)("%s does not look at CNI_ARGS", (verb) => {
    expect(parseInvocation(verb, { ...fullEnv(verb), CNI_ARGS: "x" })).toEqual({ command: verb });
  });
});

describe("parseInvocation", () => {
  it("gives what ADD needs", () => {
    expect(parseInvocation("ADD", { ...fullEnv("ADD"), CNI_ARGS: "IP=10.1.2.3" })).toEqual({
      command: "ADD",
      containerId: "cid-1",
      ifname: "eth0",
      netns: "/run/netns/blue",
      args: new Map([["IP", "10.1.2.3"]]),
    });
  });

  it("takes interface names of 15 bytes and container ids of any length", () => {
    const env = { ...fullEnv("ADD"), CNI_IFNAME: "a12345678901234", CNI_CONTAINERID: `0${"a._-".repeat(100)}` };
    expect(parseInvocation("ADD", env)).toMatchObject({ ifname: env.CNI_IFNAME, containerId: env.CNI_CONTAINERID });
  });

  it("has no namespace for DEL with an empty one", () => {
    expect(parseInvocation("DEL", { ...fullEnv("DEL"), CNI_NETNS: "" })).toHaveProperty("netns", undefined);
  });
});

describe("parseCommand", () => {
  it.each(commands)("knows %s", (command) => {
    expect(parseCommand({ CNI_COMMAND: command })).toBe(command);
  });

  it.each([{}, { CNI_COMMAND: "" }])("has none for %j", (env) => {
    expect(parseCommand(env)).toBeUndefined();
  });

  it.each(["add", "UPDATE", " ADD", "toString"])("refuses %j", (command) => {
    expect(() => parseCommand({ CNI_COMMAND: command })).toThrow(
      expect.objectContaining({ code: 4, message: `unknown CNI_COMMAND: ${command}` }),
    );
  });
});

describe("overridesNetnsCheck", () => {
  it.each([
    ["1", true],
    ["true", true],
    ["TRUE", true],
    ["0", false],
    ["yes", false],
    ["", false],
    [undefined, false],
  ])("%j is %j", (value, expected) => {
    expect(overridesNetnsCheck({ CNI_NETNS_OVERRIDE: value })).toBe(expected);
  });
});
