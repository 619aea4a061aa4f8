import packageJson from "../package.json" with { type: "json" };
import { type Host, handle, type Request, type Response } from "./cni/handle.ts";
import type { Plugin } from "./cni/plugin.ts";
import { type InvokeRequest, invoke, type Self } from "./runtime/invoke.ts";
import { isOwnNetns } from "./sys/netns.ts";

/** podlink's own, `0.1.0`. */
export function podlinkVersion(): string {
  return packageJson.version;
}

/** The node as the protocol sees it, with these plugin types. */
export function makeHost(plugins: Readonly<Record<string, Plugin>>): Host {
  const host: Host = {
    plugins,
    podlinkVersion: podlinkVersion(),
    isOwnNetns,
    invoke: (type, request) => invoke(type, request, self),
  };
  const self = makeSelf(host, (type, request) => respond(host, type, request));
  return host;
}

/** Answers the calls of these plugin types. */
export function responder(plugins: Readonly<Record<string, Plugin>>): (request: Request) => Response {
  const host = makeHost(plugins);
  return (request) => handle(request, host);
}

/** How a plugin's file on CNI_PATH is recognized as this executable, and run without a second process. */
export function makeSelf({ plugins }: Host, run: Self["run"]): Self {
  return { executable: "/proc/self/exe", has: (type) => Object.hasOwn(plugins, type), run };
}

/** Answers a plugin call that comes from inside this process. */
export function respond(host: Host, type: string, { env, stdin, steps }: InvokeRequest): Response {
  return handle({ type, env, stdin: () => stdin, steps }, host);
}
