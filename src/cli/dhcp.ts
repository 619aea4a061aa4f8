import { resolve } from "node:path";
import { defaultTiming } from "../dhcp/client-events.ts";
import { type DaemonRequest, defaultSocketPath } from "../dhcp/protocol.ts";
import { runDaemon } from "../dhcp-daemon/daemon.ts";
import type { DaemonSettings } from "../dhcp-daemon/settings.ts";
import { askDaemon } from "../plugins/dhcp-daemon-call.ts";
import { reason } from "../support/errors.ts";
import { printable } from "../support/printable.ts";
import { type Command, type Input, UsageError } from "./command.ts";
import type { Shell } from "./shell.ts";

/** sd_listen_fds(3): the first descriptor that is handed over. */
const LISTEN_FD = 3;

export const dhcp: Command = {
  name: "dhcp",
  summary: "Run the daemon that leases addresses from DHCP servers, or ask it something",
  positionals: ["<daemon|call>", "[request]"],
  options: {
    "socket-path": { value: "PATH", text: `where it listens; ${defaultSocketPath}` },
    "pid-file": { value: "PATH", text: "file for the number of the process" },
    "host-prefix": { value: "DIR", text: "the node's root directory, put before paths of network namespaces" },
    broadcast: { text: "ask servers to answer by broadcast" },
    timeout: { value: "TIME", text: "how long the answer to a REQUEST is waited for; 10s" },
    "resend-max": { value: "TIME", text: "longest pause before a message is sent again; 62s" },
    "resend-timeout": { value: "TIME", text: "how long an ADD looks for a server; 208s" },
  },
  notes: [
    "daemon  keeps the leases of plugin type dhcp until it gets SIGTERM; they stay, and the next one goes on with them.",
    "        It takes over a socket of systemd's (LISTEN_FDS), and the reference's spellings: -socketpath, -resendmax, …",
    'call    sends one request, as {"call":"status"}, and prints the answer.',
  ].join("\n"),
  rewrite: (argv) => argv.flatMap(rewriteOption),
  run(input, shell) {
    const [what, request] = input.positionals;
    if (what === "call") return call(input, shell);
    if (what !== "daemon" || request !== undefined) throw new UsageError('Expected "daemon", or "call" and a request');
    return runDaemon(daemonSettings(input, shell), {
      pid: shell.pid,
      stopped: shell.untilStopped(),
      log: (line) => shell.err(`${printable(line)}\n`),
    });
  },
};

function call({ positionals: [, text], texts }: Input, shell: Shell): void {
  if (text === undefined) throw new UsageError('Missing the request, as {"call":"status"}');
  let request: DaemonRequest;
  try {
    request = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`The request is no JSON: ${reason(error)}`, { cause: error });
  }
  const socketPath = resolve(shell.cwd, texts["socket-path"] ?? defaultSocketPath);
  shell.out(`${JSON.stringify(askDaemon(socketPath, request), null, 4)}\n`);
}

/** The reference's flags, as Go's package flag reads them: one dash or two, the value behind `=` or behind a space. */
const spellings: Readonly<Record<string, string>> = {
  pidfile: "pid-file",
  hostprefix: "host-prefix",
  socketpath: "socket-path",
  broadcast: "broadcast",
  timeout: "timeout",
  resendmax: "resend-max",
  resendtimeout: "resend-timeout",
};

function rewriteOption(word: string): string[] {
  const [, name = "", value] = /^--?([a-z]+)(=.*)?$/s.exec(word) ?? [];
  const ours = Object.hasOwn(spellings, name) ? spellings[name] : undefined;
  if (ours === undefined) return [word];
  if (ours !== "broadcast" || value === undefined) return [`--${ours}${value ?? ""}`];
  return /^=(1|t|true)$/i.test(value) ? [`--${ours}`] : [];
}

function daemonSettings({ texts, switches }: Input, { cwd, env, pid }: Shell): DaemonSettings {
  const duration = (name: string, otherwise: number) => {
    const text = texts[name];
    return text === undefined ? otherwise : parseDuration(text, `--${name}`);
  };
  const pidFile = texts["pid-file"] ?? "";
  return {
    socketPath: resolve(cwd, texts["socket-path"] ?? defaultSocketPath),
    listenFd: handedOver(env, pid),
    hostPrefix: (texts["host-prefix"] ?? "").replace(/\/+$/, ""),
    pidFile: pidFile === "" ? undefined : resolve(cwd, pidFile),
    broadcast: switches.has("broadcast"),
    timing: {
      timeout: duration("timeout", defaultTiming.timeout),
      resendMax: duration("resend-max", defaultTiming.resendMax),
      resendTimeout: duration("resend-timeout", defaultTiming.resendTimeout),
    },
  };
}

/** The socket that systemd listens on for us (sd_listen_fds(3)); undefined when there is none. */
function handedOver(env: Shell["env"], pid: number): number | undefined {
  const { LISTEN_FDS: count, LISTEN_PID: receiver } = env;
  if (count === undefined || receiver !== String(pid)) return undefined;
  if (count !== "1") throw new UsageError(`LISTEN_FDS is "${count}", and the daemon listens on one socket`);
  return LISTEN_FD;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `1m30s`, as Go writes times. @returns milliseconds */
function parseDuration(text: string, option: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  const ms = parts.reduce((sum, [, count, unit = ""]) => sum + Number(count) * (UNITS[unit] ?? 0), 0);
  if (parts.length === 0 || parts.map(([part]) => part).join("") !== text || ms <= 0) {
    throw new UsageError(`${option} is "${text}", expected a time as in 10s or 1m30s`);
  }
  return ms;
}
