import { describe, expect, it } from "vitest";
import { Bench } from "../support/attach.ts";
import { makeSandbox, nodeSnapshot } from "../support/node.ts";

const bench = new Bench();

const config = { cniVersion: "1.1.0", name: "lo", type: "loopback" };

function flagsOf(sandbox: { ipJson: ReturnType<typeof makeSandbox>["ipJson"] }): readonly string[] {
  return sandbox.ipJson<{ flags: string[] }>("link", "show", "dev", "lo")[0]?.flags ?? [];
}

describe("loopback", () => {
  it("brings lo up, whatever CNI_IFNAME says, and shows its addresses", () => {
    const before = nodeSnapshot();
    const { sandbox, result, who } = bench.attach(config, { ifname: "eth0" });
    expect(result).toEqual({
      cniVersion: "1.1.0",
      interfaces: [{ name: "lo", mac: "00:00:00:00:00:00", sandbox: sandbox.path }],
      ips: [
        { address: "127.0.0.1/8", interface: 0 },
        { address: "::1/128", interface: 0 },
      ],
    });
    expect(sandbox.ping("127.0.0.1")).toBe(true);
    expect(sandbox.ping("::1")).toBe(true);
    bench.caller.succeed({ ...who, command: "CHECK" });
    bench.detach({ who });
    expect(flagsOf(sandbox)).not.toContain("UP");
    expect(nodeSnapshot()).toEqual(before);
  });

  it("hands a result of an earlier plugin on as it is, keys that nobody knows with it", () => {
    const prevResult = {
      cniVersion: "1.1.0",
      interfaces: [{ name: "eth0", mac: "02:00:00:00:00:01", sandbox: "/x", colour: "blue" }],
      dns: { domain: "a" },
    };
    const { result } = bench.attach({ ...config, prevResult });
    expect(result).toEqual(prevResult);
  });

  it("as containerd asks for it", () => {
    const { result } = bench.attach({ cniVersion: "0.3.1", name: "cni-loopback", type: "loopback" }, { ifname: "lo" });
    expect(result).toMatchObject({ ips: [{ version: "4" }, { version: "6" }], dns: {} });
  });

  it("leaves lo as it found it when it fails", () => {
    const sandbox = makeSandbox();
    const call = { type: "loopback", command: "ADD", netns: sandbox.path, config };
    sandbox.ip("address", "add", "10.1.1.1/32", "dev", "lo");
    expect(bench.caller.fail(call).msg).toContain("non-loopback address 10.1.1.1/32");
    expect(flagsOf(sandbox)).not.toContain("UP");
    sandbox.ip("link", "set", "lo", "up");
    bench.caller.fail(call);
    expect(flagsOf(sandbox)).toContain("UP");
  });

  it("CHECK tells that lo is down, and which address is missing", () => {
    const { sandbox, who } = bench.attach(config);
    sandbox.ip("address", "del", "127.0.0.1/8", "dev", "lo");
    sandbox.ip("link", "set", "lo", "down");
    const { msg } = bench.caller.fail({ ...who, command: "CHECK" });
    expect(msg).toContain('its state is "down", expected "up"');
    expect(msg).toContain("find address 127.0.0.1/8");
  });
});
