import { describe, expect, it } from "vitest";
import { resolveBridge } from "../../../src/plugins/bridge-config.ts";

function resolve(keys: Parameters<typeof resolveBridge>[0], command = "ADD") {
  return resolveBridge(keys, { command, cniVersion: "1.0.0", args: new Map() });
}

describe("the bridge's name", () => {
  it.each(["a/b", "a:b", "a b", ".", "..", "a123456789012345", "éééééééé", "br%d", "br0\0x", "br\u0001", "br\u0085"])(
    "is not %j: the kernel would refuse it, or take another",
    (bridge) => {
      expect(() => resolve({ bridge })).toThrow(expect.objectContaining({ code: 7 }));
    },
  );

  it.each(["cni0", "br.100", "a12345678901234", "ééééééé", "-"])("is %j", (bridge) => {
    expect(resolve({ bridge }).bridge).toBe(bridge);
  });
});

describe("the backend of ipMasq", () => {
  it.each(["", "iptables", "nftables"])("may be %j: nf_tables serve it", (ipMasqBackend) => {
    expect(resolve({ ipMasq: true, ipMasqBackend }).masquerade).toBe(true);
  });

  it.each(["ADD", "CHECK", "STATUS"])("may be no other, says %s", (command) => {
    expect(() => resolve({ ipMasq: true, ipMasqBackend: "firewalld" }, command)).toThrow(
      expect.objectContaining({ code: 7, message: expect.stringContaining('unknown ipmasq backend "firewalld"') }),
    );
  });

  it.each(["DEL", "GC"])("does not keep %s from clearing away", (command) => {
    expect(resolve({ ipMasqBackend: "firewalld", ipam: { type: "host-local" } }, command).ipamType).toBe("host-local");
  });
});
