import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseArgs, podOf } from "../../../src/cni/args.ts";

describe("parseArgs", () => {
  it("reads pairs in any order", () => {
    expect(Object.fromEntries(parseArgs("K8S_POD_NAME=web;IgnoreUnknown=1;K8S_POD_NAMESPACE=prod"))).toEqual({
      K8S_POD_NAME: "web",
      IgnoreUnknown: "1",
      K8S_POD_NAMESPACE: "prod",
    });
  });

  it.each([
    ["", []],
    [";", []],
    ["IP=10.1.2.3;", [["IP", "10.1.2.3"]]],
    ["IP=10.1.2.3/24,fd00::3/64", [["IP", "10.1.2.3/24,fd00::3/64"]]],
    [
      "IgnoreUnknown=TRUE;A=b=c=",
      [
        ["IgnoreUnknown", "TRUE"],
        ["A", "b=c="],
      ],
    ],
    ["MAC=c2:11:22:33:44:55", [["MAC", "c2:11:22:33:44:55"]]],
    ["IP=10.1.2.3;IP=10.1.2.4", [["IP", "10.1.2.4"]]],
    ["IP=;GATEWAY=10.1.2.1", [["GATEWAY", "10.1.2.1"]]],
    ["K8S_POD_ANYTHING=x", [["K8S_POD_ANYTHING", "x"]]],
  ])("%j gives %j", (text, pairs) => {
    expect([...parseArgs(text)]).toEqual(pairs);
  });

  it.each([
    ["IP", 'CNI_ARGS: invalid pair "IP"'],
    ["=x", 'CNI_ARGS: invalid pair "=x"'],
    ["FOO=bar;IP=10.1.2.3;X=", 'CNI_ARGS: unknown args ["FOO=bar" "X="]'],
    ["ip=10.1.2.3", 'CNI_ARGS: unknown args ["ip=10.1.2.3"]'],
    ["FOO=bar;IgnoreUnknown=0", 'CNI_ARGS: unknown args ["FOO=bar"]'],
    ["FOO=bar;IgnoreUnknown=false", 'CNI_ARGS: unknown args ["FOO=bar"]'],
    ["FOO=bar;IgnoreUnknown=perhaps", 'CNI_ARGS: IgnoreUnknown is "perhaps"'],
  ])("%j is refused", (text, message) => {
    expect(() => parseArgs(text)).toThrow(expect.objectContaining({ code: 4, message }));
  });

  it("keeps what any list of keys and values says", () => {
    const key = fc.stringMatching(/^[A-Za-z0-9_]{1,10}$/).filter((text) => text !== "IgnoreUnknown");
    const value = fc.string({ minLength: 1 }).filter((text) => !text.includes(";"));
    fc.assert(
      fc.property(fc.dictionary(key, value), (wanted) => {
        const pairs = Object.entries(wanted).map(([name, text]) => `${name}=${text}`);
        const args = parseArgs([...pairs, "IgnoreUnknown=1"].join(";"));
        expect(new Map(args)).toEqual(new Map([...Object.entries(wanted), ["IgnoreUnknown", "1"]]));
      }),
    );
  });
});

describe("podOf", () => {
  it("needs both parts", () => {
    expect(podOf(parseArgs("K8S_POD_NAME=web;K8S_POD_NAMESPACE=prod"))).toBe("prod/web");
    expect(podOf(parseArgs("K8S_POD_NAME=web"))).toBeUndefined();
    expect(podOf(parseArgs(""))).toBeUndefined();
  });
});
