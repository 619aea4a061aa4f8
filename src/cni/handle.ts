import { now } from "../support/clock.ts";
import { reason } from "../support/errors.ts";
import { printable } from "../support/printable.ts";
import { type Step, Steps } from "../support/steps.ts";
import { podOf } from "./args.ts";
import { makeDelegate } from "./delegation.ts";
import { CniError, codes, errorJson, toCniError } from "./error.ts";
import {
  type ContainerInvocation,
  type DelInvocation,
  type Environment,
  overridesNetnsCheck,
  parseCommand,
  parseInvocation,
} from "./invocation.ts";
import { parseObject } from "./json.ts";
import { readHeader, requireName, requireVersion } from "./network.ts";
import { perform } from "./perform.ts";
import type { Plugin } from "./plugin.ts";
import { isVersion, type Version, versions } from "./version.ts";
import { answerVersion } from "./version-request.ts";

/** The reference release whose behaviour ours equals; nerdctl reads it from the usage text and gates features on it. */
const REFERENCE = "v1.9.1";

export interface Request {
  /** The name we are called by. */
  readonly type: string;
  readonly env: Environment;
  /** Read only by the verbs that need it. */
  readonly stdin: () => Uint8Array;
  /** The record of a call that this one is part of (delegation). */
  readonly steps?: Steps;
}

export interface Response {
  readonly exitCode: number;
  /** One JSON document, or nothing. */
  readonly stdout: string;
  readonly stderr: string;
  readonly report: Report;
}

/** What the log says about a call. */
export interface Report {
  readonly type: string;
  readonly command: string;
  readonly network?: string;
  readonly containerId?: string;
  readonly ifname?: string;
  readonly netns?: string;
  /** `namespace/name`, from K8S_POD_* of CNI_ARGS. */
  readonly pod?: string;
  readonly ms: number;
  /** The changes of this call alone. */
  readonly steps: readonly Step[];
  /** Lines on stderr, those of delegates too. */
  readonly warnings?: readonly string[];
  readonly error?: { readonly code: number; readonly msg: string; readonly details?: string };
}

/** What the protocol needs of the node it runs on. */
export interface Host {
  /** By type. */
  readonly plugins: Readonly<Record<string, Plugin>>;
  /** `0.1.0` */
  readonly podlinkVersion: string;
  /** Whether the path is the network namespace this process stands in; false when it cannot be opened as one. */
  isOwnNetns(path: string): boolean;
  /** Runs another plugin type found on CNI_PATH. */
  invoke(
    type: string,
    request: { env: Environment; stdin: Uint8Array; steps: Steps },
  ): { exitCode: number; stdout: string; stderr: string };
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What a call has made known by the time it ends, well or not. */
interface Progress {
  readonly steps: Steps;
  readonly report: Partial<Mutable<Report>>;
  stderr: string;
  /** The configuration's version once it is known; errors are told in it. */
  cniVersion: Version;
  warn(message: string): void;
}

/** Answers one call of a plugin, whatever it is: it never throws, and prints a result, one error object, or nothing. */
export function handle(request: Request, host: Host): Response {
  const started = now();
  const { type, env } = request;
  const progress: Progress = {
    steps: request.steps ?? new Steps(),
    report: {},
    stderr: "",
    cniVersion: "1.1.0",
    warn(message) {
      this.stderr += `${type}: ${printable(message)}\n`;
    },
  };
  const stepsBefore = progress.steps.list.length;
  const finish = (exitCode: number, stdout: string): Response => {
    const { CNI_COMMAND: command = "" } = env;
    const { steps, stderr, report } = progress;
    const warnings = command === "" ? [] : stderr.split("\n").filter((line) => line !== ""); // without a verb it is the usage
    return {
      exitCode,
      stdout,
      stderr,
      report: {
        type,
        command,
        ...report,
        ms: now() - started,
        steps: steps.list.slice(stepsBefore),
        ...(warnings.length === 0 ? {} : { warnings }),
      },
    };
  };
  try {
    return finish(0, answer(request, { host, progress }));
  } catch (thrown) {
    const error = toCniError(thrown);
    const details = error.details === undefined ? {} : { details: error.details };
    progress.report.error = { code: error.code, msg: error.message, ...details };
    return finish(1, errorJson(error, progress.cniVersion));
  }
}

function answer(request: Request, { host, progress }: { host: Host; progress: Progress }): string {
  const plugin = findPlugin(request.type, host);
  const command = parseCommand(request.env);
  if (command === undefined) {
    progress.stderr += `CNI ${plugin.type} plugin ${REFERENCE}+podlink.${host.podlinkVersion}\n`;
    progress.stderr += `CNI protocol versions supported: ${versions.join(", ")}\n`;
    return "";
  }
  if (command === "VERSION") return answerVersion(request.stdin);
  const invocation = parseInvocation(command, request.env);
  if ("containerId" in invocation) note(invocation, progress);

  const stdin = readStdin(request);
  const raw = parseObject(stdin, "network configuration");
  const header = readHeader(raw);
  if (isVersion(header.cniVersion)) progress.cniVersion = header.cniVersion;
  const network = requireName(header);
  progress.report.network = network;
  const cniVersion = requireVersion(header, command);
  progress.cniVersion = cniVersion;
  if (invocation.command === "ADD" || invocation.command === "DEL") refuseOwnNetns(invocation, { env: request.env, host });
  const call = {
    network,
    cniVersion,
    steps: progress.steps,
    warn: (message: string) => progress.warn(message),
    delegate: (type: string) => {
      refuseDelegate(type, host);
      return makeDelegate(type, {
        env: request.env,
        stdin,
        steps: progress.steps,
        cniVersion,
        invoke: plugin.ownIpam === true ? ownBeforeOthers(host) : (name, delegated) => host.invoke(name, delegated),
        stderr(text) {
          progress.stderr += text;
        },
        warn: (message) => progress.warn(message),
      });
    },
  };
  return perform(invocation, { plugin, raw, stdin, call });
}

function findPlugin(type: string, host: Host): Plugin {
  const plugin = Object.hasOwn(host.plugins, type) ? host.plugins[type] : undefined;
  if (plugin !== undefined) return plugin;
  const there = Object.keys(host.plugins).join(", ");
  throw new CniError(codes.invalidConfig, `Cannot run plugin type "${type}": there is no such type`, {
    details: `there are ${there}`,
  });
}

/** Runs plugins that this program contains in this process, and looks for others only. */
function ownBeforeOthers(host: Host): Host["invoke"] {
  return (type, { env, stdin, steps }) =>
    Object.hasOwn(host.plugins, type)
      ? handle({ type, env, stdin: () => stdin, steps }, host)
      : host.invoke(type, { env, stdin, steps });
}

/** A delegate is handed the same configuration: one that delegates in its turn would call itself, for ever. */
function refuseDelegate(type: string, host: Host): void {
  const plugin = Object.hasOwn(host.plugins, type) ? host.plugins[type] : undefined;
  if (plugin === undefined || plugin.ipam) return;
  throw new CniError(codes.invalidConfig, `Cannot delegate to "${type}": it is no IPAM plugin`);
}

function note({ containerId, ifname, netns, args }: ContainerInvocation | DelInvocation, { report }: Progress): void {
  report.containerId = containerId;
  report.ifname = ifname;
  if (netns !== undefined) report.netns = netns;
  const pod = podOf(args);
  if (pod !== undefined) report.pod = pod;
}

function readStdin(request: Request): Uint8Array {
  try {
    return request.stdin();
  } catch (error) {
    throw new CniError(codes.ioFailure, `Cannot read network configuration from stdin: ${reason(error)}`, { cause: error });
  }
}

/** The host's own namespace is never a container's, and working in it would change the node. The reference looks too late. */
function refuseOwnNetns({ netns }: ContainerInvocation | DelInvocation, { env, host }: { env: Environment; host: Host }): void {
  if (netns === undefined || overridesNetnsCheck(env) || !host.isOwnNetns(netns)) return;
  throw new CniError(codes.invalidNetns, "plugin's netns and netns from CNI_NETNS should not be the same", {
    details: `CNI_NETNS is ${JSON.stringify(netns)}; CNI_NETNS_OVERRIDE=1 allows it`,
  });
}
