import { array, boolean, exactOptional, type InferOutput, looseObject, object, string, unknown } from "valibot";
import { path, uint32 } from "../cni/config.ts";
import { CniError, codes, unsupported } from "../cni/error.ts";
import type { ConfigContext } from "../cni/plugin.ts";
import type { Options } from "../dhcp/message.ts";
import { resolveOptions } from "../dhcp/options.ts";
import { defaultSocketPath } from "../dhcp/protocol.ts";
import { reason } from "../support/errors.ts";

/** The keys of `ipam`. */
export function schema() {
  return object({
    ipam: object({
      type: exactOptional(string()),
      name: exactOptional(string()),
      daemonSocketPath: exactOptional(path),
      priority: exactOptional(uint32),
      provide: exactOptional(
        array(object({ option: string(), value: exactOptional(string()), fromArg: exactOptional(string()) })),
      ),
      request: exactOptional(array(object({ option: exactOptional(string()), skipDefault: exactOptional(boolean()) }))),
      ipv6: exactOptional(unknown()),
    }),
    runtimeConfig: exactOptional(looseObject({})),
    args: exactOptional(looseObject({})),
  });
}

export type Keys = InferOutput<ReturnType<typeof schema>>;

export interface DhcpConfig {
  /** Where the daemon listens. */
  readonly socketPath: string;
  /** Metric of the lease's routes; undefined is the kernel's default. */
  readonly priority: number | undefined;
  readonly provide: Options;
  /** Option numbers, for option 55. */
  readonly request: readonly number[];
}

/** @throws CniError 2 for DHCPv6, 7 for options that are none */
export function resolve({ ipam }: Keys, { command, args }: ConfigContext): DhcpConfig {
  const { daemonSocketPath = "", priority, provide, request } = ipam;
  const socketPath = daemonSocketPath === "" ? defaultSocketPath : daemonSocketPath;
  if (command === "DEL" || command === "GC") return { socketPath, priority, provide: new Map(), request: [] };
  if (ipam.ipv6 !== undefined && ipam.ipv6 !== false) {
    throw unsupported("ipam.ipv6", ipam.ipv6, "DHCPv6 is not there yet: IPv6 addresses come from host-local or static");
  }
  try {
    return { socketPath, priority, ...resolveOptions({ provide, request, args }) };
  } catch (error) {
    if (error instanceof RangeError) throw new CniError(codes.invalidConfig, reason(error), { cause: error });
    throw error;
  }
}
