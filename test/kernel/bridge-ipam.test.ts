import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Bench, bridgeNetwork } from "../support/attach.ts";
import { makeSandbox, nodeSnapshot } from "../support/node.ts";

// Type bridge with an IPAM plugin that is not ours, a process of its own, which may answer anything.

const bench = new Bench();

describe("an IPAM plugin of somebody else", () => {
  function install(type: string, script: string): void {
    const file = join(bench.caller.path, type);
    writeFileSync(file, `#!/bin/sh\n${script}\n`);
    chmodSync(file, 0o755);
  }
  const refuse = (type: string) => {
    const sandbox = makeSandbox();
    bench.attach(bridgeNetwork());
    const before = nodeSnapshot();
    const call = { type: "bridge", command: "ADD", containerId: "cid-9", netns: sandbox.path };
    const error = bench.caller.fail({ ...call, config: bridgeNetwork({ ipam: { type } }) });
    expect(nodeSnapshot()).toEqual(before);
    expect(sandbox.ipJson("link", "show")).toHaveLength(1);
    return error;
  };

  it("is run with the whole configuration and environment, and its result used", () => {
    const [seen, env] = [join(bench.caller.path, "seen.json"), join(bench.caller.path, "seen.env")];
    install(
      "other",
      `cat > ${seen}; env > ${env}; echo '{"ips": [{"address": "10.91.0.50/24"}], "dns": {"nameservers": ["10.1.1.1"]}}'`,
    );
    const config = bridgeNetwork({ ipam: { type: "other", pool: "blue" } });
    const { result, who, v4 } = bench.attach(config);
    expect(v4).toBe("10.91.0.50");
    expect(result.dns).toEqual({ nameservers: ["10.1.1.1"] });
    expect(JSON.parse(readFileSync(seen, "utf8"))).toEqual(config);
    expect(readFileSync(env, "utf8")).toContain("CNI_COMMAND=ADD");
    bench.detach({ who });
    expect(readFileSync(env, "utf8")).toContain("CNI_COMMAND=DEL");
  });

  it("may print a list of interfaces: the result has ours", () => {
    install("other", `echo '{"cniVersion": "1.0.0", "interfaces": [], "ips": [{"address": "10.91.0.50/24", "interface": 0}]}'`);
    const { result } = bench.attach(bridgeNetwork({ ipam: { type: "other" } }));
    expect(result.interfaces).toHaveLength(3);
    expect(result.ips).toEqual([expect.objectContaining({ interface: 2 })]);
  });

  it.each([
    [
      "an error",
      `test $CNI_COMMAND = DEL || { echo '{"code": 117, "msg": "no address for blue"}'; exit 1; }`,
      117,
      "no address for blue",
    ],
    ["a crash", "test $CNI_COMMAND = DEL || { echo boom >&2; exit 3; }", 999, "boom"],
    ["garbage", "echo no json", 6, "other-ipam"],
    ["no addresses", "echo '{}'", 999, "missing IP config"],
    ["a result of a version that does not exist", `echo '{"cniVersion": "7.0.0"}'`, 1, "7.0.0"],
  ])("that gives %s leaves the node as before", (_title, script, code, text) => {
    install("other-ipam", script);
    const error = refuse("other-ipam");
    expect(error.code).toBe(code);
    expect(`${error.msg} ${error.details}`).toContain(text);
  });

  it("that gives an address already on its way elsewhere leaves the node as before", () => {
    install("other-ipam", `echo '{"ips": [{"address": "10.91.0.9/24"}], "routes": [{"dst": "10.5.0.0/16", "gw": "10.99.0.1"}]}'`);
    expect(refuse("other-ipam").msg).toMatch(/route add 10\.5\.0\.0\/16|ENETUNREACH|unreachable/i);
  });
});
