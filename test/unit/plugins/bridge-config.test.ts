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

describe("what is not built yet", () => {
  const keys = [{ ipMasq: true }, { macspoofchk: true }];

  it.each(["ADD", "CHECK", "STATUS"].flatMap((command) => keys.map((key) => ({ command, key }))))(
    "is refused by $command with $key",
    ({ command, key }) => {
      expect(() => resolve(key, command)).toThrow(expect.objectContaining({ code: 2 }));
    },
  );

  it.each(["DEL", "GC"].flatMap((command) => keys.map((key) => ({ command, key }))))(
    "does not keep $command with $key from clearing away what the reference made, or a refused ADD",
    ({ command, key }) => {
      expect(resolve({ ...key, ipam: { type: "host-local" } }, command).ipamType).toBe("host-local");
    },
  );
});
