import * as v from "valibot";
import { ipam } from "../../src/cni/config.ts";
import { type Host, handle, type Request, type Response } from "../../src/cni/handle.ts";
import { definePlugin, type Plugin } from "../../src/cni/plugin.ts";
import type { Result } from "../../src/cni/result.ts";

/** A result with addresses of both families, as an interface plugin gives it. */
export const sampleResult: Result = {
  interfaces: [{ name: "eth0", mac: "c2:11:22:33:44:55", mtu: 1400, sandbox: "/run/netns/blue" }],
  ips: [
    { address: "10.1.2.3/24", gateway: "10.1.2.1", interface: 0 },
    { address: "fd00::3/64", gateway: "fd00::1", interface: 0 },
  ],
  routes: [{ dst: "0.0.0.0/0" }, { dst: "fd01::/64", gw: "fd00::1", mtu: 1300 }],
};

export const fakeSchema = v.object({
  mtu: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  isGateway: v.exactOptional(v.boolean()),
  vlanTrunk: v.exactOptional(v.array(v.object({ minID: v.exactOptional(v.number()), maxID: v.exactOptional(v.number()) }))),
  ipam: v.exactOptional(ipam),
  runtimeConfig: v.exactOptional(v.object({ mac: v.exactOptional(v.string()) })),
});

/** A call of a verb (or of `resolve`) that a fake plugin saw. */
export interface Seen {
  readonly verb: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look at whatever the verb was given
  readonly call: any;
}

/** A plugin that does nothing but write down its calls; `overrides` replace parts of it. */
export function fakePlugin(seen: Seen[], overrides: Partial<Plugin> = {}): Plugin {
  const plugin = definePlugin({
    type: "fake",
    schema: () => fakeSchema,
    resolve(keys, context) {
      seen.push({ verb: "resolve", call: { keys, ...context } });
      return keys;
    },
    add(call) {
      seen.push({ verb: "add", call });
      return sampleResult;
    },
    check: (call) => void seen.push({ verb: "check", call }),
    del: (call) => void seen.push({ verb: "del", call }),
    gc: (call) => void seen.push({ verb: "gc", call }),
    status: (call) => void seen.push({ verb: "status", call }),
  });
  return { ...plugin, ...overrides };
}

/** A host without a node; `overrides` replace parts of it. */
export function fakeHost(plugins: Record<string, Plugin>, overrides: Partial<Host> = {}): Host {
  return {
    plugins,
    podlinkVersion: "0.1.0",
    isOwnNetns: () => false,
    invoke(type) {
      throw new Error(`no plugin "${type}" here`);
    },
    ...overrides,
  };
}

/** The environment of a verb with everything it may need. */
export function fullEnv(command: string): Record<string, string> {
  return {
    CNI_COMMAND: command,
    CNI_CONTAINERID: "cid-1",
    CNI_NETNS: "/run/netns/blue",
    CNI_IFNAME: "eth0",
    CNI_PATH: "/opt/cni/bin",
  };
}

export interface CallOptions {
  readonly overrides?: Partial<Plugin>;
  readonly host?: Partial<Host>;
  readonly env?: Record<string, string | undefined>;
  readonly config?: unknown;
  readonly stdin?: Request["stdin"];
}

/** A call of a fake plugin in `{"cniVersion": "1.1.0", "name": "net1", "type": "fake", ...config}`. */
export function callFake(
  command: string,
  options: CallOptions = {},
): Response & { seen: Seen[]; json: () => Record<string, unknown> } {
  const seen: Seen[] = [];
  const config = { cniVersion: "1.1.0", name: "net1", type: "fake", ...(options.config as object) };
  const response = handle(
    {
      type: "fake",
      env: { ...fullEnv(command), ...options.env },
      stdin: options.stdin ?? (() => Buffer.from(JSON.stringify(config))),
    },
    fakeHost({ fake: fakePlugin(seen, options.overrides) }, options.host),
  );
  return { ...response, seen, json: () => JSON.parse(response.stdout) };
}
