import { describe, expect, it } from "vitest";
import { CniError } from "../../../src/cni/error.ts";
import type { ConfigContext } from "../../../src/cni/plugin.ts";
import { type Keys, resolve } from "../../../src/plugins/dhcp-config.ts";

function context(command: string, args: Record<string, string> = {}): ConfigContext {
  return { command, cniVersion: "1.1.0", args: new Map(Object.entries(args)) };
}

function refusal(ipam: Keys["ipam"], command = "ADD"): { code?: number; message: string } {
  try {
    resolve({ ipam }, context(command));
  } catch (error) {
    if (error instanceof CniError) return { code: error.code, message: error.message };
  }
  throw new Error("nothing was refused");
}

describe("the configuration of dhcp", () => {
  it("needs nothing: the usual socket, the usual options", () => {
    const { socketPath, priority, provide, request } = resolve({ ipam: {} }, context("ADD"));
    expect({ socketPath, priority, provide: [...provide] }).toEqual({
      socketPath: "/run/cni/dhcp.sock",
      priority: undefined,
      provide: [],
    });
    expect(request).toEqual(expect.arrayContaining([1, 3, 6, 121]));
  });

  it("takes a socket, a metric, options to ask for and options to tell, from CNI_ARGS too", () => {
    const ipam: Keys["ipam"] = {
      daemonSocketPath: "/run/other.sock",
      priority: 50,
      request: [{ skipDefault: true }, { option: "subnet-mask" }, { option: "42" }],
      provide: [
        { option: "host-name", fromArg: "K8S_POD_NAME" },
        { option: "60", value: "podlink" },
      ],
    };
    const config = resolve({ ipam }, context("ADD", { K8S_POD_NAME: "web-1" }));
    expect(config).toMatchObject({ socketPath: "/run/other.sock", priority: 50, request: [1, 42] });
    const provided = [...config.provide].map(([code, value]) => [code, Buffer.from(value).toString()]);
    expect(provided).toEqual([
      [12, "web-1"],
      [60, "podlink"],
    ]);
  });

  it("is refused with DHCPv6 in it, by name", () => {
    expect(refusal({ ipv6: true })).toEqual({ code: 2, message: expect.stringContaining('"ipam.ipv6" is true') });
    expect(resolve({ ipam: { ipv6: false } }, context("ADD")).socketPath).toBe("/run/cni/dhcp.sock");
  });

  it("is refused with an option that there is not", () => {
    expect(refusal({ request: [{ option: "colour" }] })).toMatchObject({ code: 7, message: expect.stringContaining("colour") });
    expect(refusal({ provide: [{ option: "300", value: "x" }] }, "STATUS")).toMatchObject({ code: 7 });
  });

  it.each(["DEL", "GC"])("may be what it is for %s, which must not fail for it", (command) => {
    const ipam: Keys["ipam"] = { request: [{ option: "colour" }], ipv6: true, daemonSocketPath: "/run/x.sock" };
    expect(resolve({ ipam }, context(command)).socketPath).toBe("/run/x.sock");
  });
});
