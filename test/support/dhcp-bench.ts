import { spawn } from "node:child_process";
import { connect } from "node:net";
import { onTestFinished } from "vitest";
import { defaultTiming, type Timing } from "../../src/dhcp/client-events.ts";
import type { AllocateRequest, DaemonAnswer } from "../../src/dhcp/protocol.ts";
import { runDaemon } from "../../src/dhcp-daemon/daemon.ts";
import type { DaemonSettings } from "../../src/dhcp-daemon/settings.ts";
import { podlinkCommand } from "./dhcp-programs.ts";
import { makeSandbox, output, type Sandbox } from "./node.ts";

/** What somebody says, to be waited for. */
class Words {
  text = "";
  /** Nothing more will be said. */
  over = false;
  readonly #watchers = new Set<() => void>();

  hear(text: string): void {
    this.text += text;
    for (const watcher of this.#watchers) watcher();
    this.#watchers.clear();
  }

  /** Waits until it was said, for the so-and-so-manieth time. @throws Error with all that was said when it never will be */
  async said(what: RegExp, times = 1): Promise<RegExpMatchArray> {
    for (;;) {
      const found = [...this.text.matchAll(new RegExp(what, "g"))].at(times - 1);
      if (found !== undefined) return found;
      if (this.over) throw new Error(`It ended, and said: ${this.text}`);
      await new Promise<void>((resolve) => this.#watchers.add(resolve));
    }
  }
}

/** A program, and its words on stdout and stderr. */
export class Program extends Words {
  readonly #child;
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | string | null>;

  /** @param options.fd3 a descriptor it is handed as its number 3 */
  constructor(argv: readonly string[], options: { fd3?: number; env?: Record<string, string> } = {}) {
    super();
    const stdio = ["ignore", "pipe", "pipe", ...(options.fd3 === undefined ? [] : [options.fd3])] as const;
    const env = { ...process.env, ...options.env };
    const child = spawn("setpriv", ["--pdeathsig", "KILL", ...argv], { stdio: [...stdio], env });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", (text: string) => this.hear(text));
    this.ended = new Promise((resolve) => child.once("close", (code, signal) => resolve(code ?? signal)));
    void this.ended.then(() => {
      this.over = true;
      this.hear("");
    });
    onTestFinished(async () => {
      child.kill("SIGKILL");
      await this.ended;
    });
  }

  kill(signal: NodeJS.Signals = "SIGTERM"): void {
    this.#child.kill(signal);
  }
}

/** podlink's daemon as a process of its own, listening. */
export async function runDaemonProgram(...flags: string[]): Promise<Program> {
  const daemon = new Program([...podlinkCommand, "dhcp", "daemon", ...flags]);
  await daemon.said(/listening on/);
  return daemon;
}

/** podlink's daemon in this process, which starts at once, and its log. */
export class Daemon extends Words {
  readonly #stop: () => void;
  readonly #ended: Promise<void>;

  private constructor(settings: Partial<DaemonSettings>, timing: Partial<Timing>) {
    super();
    let stop = (): void => {};
    const stopped = new Promise<void>((resolve) => (stop = resolve));
    this.#stop = stop;
    const defaults = { socketPath: SOCKET, listenFd: undefined, hostPrefix: "", pidFile: undefined, broadcast: false };
    const log = (line: string) => this.hear(`${line}\n`);
    const all = { ...defaults, ...settings, timing: { ...defaultTiming, ...timing } };
    this.#ended = runDaemon(all, { pid: process.pid, stopped, log }).finally(() => {
      this.over = true;
      this.hear("");
    });
    onTestFinished(() => this.stop().catch(() => {})); // one that could not start has been told
  }

  /** Started, and listening. @throws what runDaemon throws */
  static async start(timing: Partial<Timing> = {}, settings: Partial<DaemonSettings> = {}): Promise<Daemon> {
    const daemon = new Daemon(settings, timing);
    try {
      await daemon.said(/listening on/);
      return daemon;
    } catch (error) {
      await daemon.#ended;
      throw error;
    }
  }

  /** As SIGTERM does. */
  stop(): Promise<void> {
    this.#stop();
    return this.#ended;
  }
}

export const SOCKET = "/run/cni/dhcp.sock";

/** Sends lines over a connection of its own. @returns the lines that came back until it was closed, or until there were `count` */
export function talk(text: string, options: { count?: number; path?: string; end?: boolean } = {}): Promise<string[]> {
  return new Promise((resolve, reject) => {
    let heard = "";
    const socket = connect(options.path ?? SOCKET, () => (options.end === true ? socket.end(text) : socket.write(text)));
    const lines = () => heard.split("\n").slice(0, -1);
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      heard += chunk;
      if (options.count !== undefined && lines().length >= options.count) socket.destroy();
    });
    socket.on("error", (error) => ("code" in error && error.code === "EPIPE" ? resolve(lines()) : reject(error)));
    socket.on("close", () => resolve(lines()));
  });
}

/** Asks the daemon without standing still meanwhile. */
export async function askAsync(request: object): Promise<DaemonAnswer> {
  const [, answer = ""] = await talk(`${JSON.stringify(request)}\n`, { count: 2 });
  return JSON.parse(answer);
}

/** A wire with a bridge in a namespace of its own, at which servers are, and containers around it. */
export class DhcpWire {
  readonly servers: Sandbox;
  #count = 0;

  /** @param addresses of the bridge, with their length */
  constructor(...addresses: string[]) {
    this.servers = makeSandbox();
    this.servers.ip("link", "add", "br0", "address", "c2:66:00:00:00:01", "type", "bridge"); // else it would be that of some port
    for (const address of addresses) this.servers.ip("address", "add", address, "dev", "br0");
    for (const link of ["br0", "lo"]) this.servers.ip("link", "set", link, "up");
  }

  /** A container with an interface eth0 on this wire, which is down. */
  container(): Sandbox & { readonly mac: string } {
    const sandbox = makeSandbox();
    this.#count++;
    const outer = `port${this.#count}`;
    output("ip", "link", "add", outer, "netns", this.servers.path, "type", "veth", "peer", "name", "eth0", "netns", sandbox.path);
    this.servers.ip("link", "set", outer, "master", "br0", "up");
    const [link] = sandbox.ipJson<{ address: string }>("link", "show", "dev", "eth0");
    return Object.assign(sandbox, { mac: link?.address ?? "" });
  }
}

/** What a plugin asks the daemon for. */
export function allocation(containerId: string, sandbox: Sandbox, more: Partial<AllocateRequest> = {}): AllocateRequest {
  const attachment = { network: "net1", containerId, ifname: "eth0" };
  return { call: "allocate", attachment, netns: sandbox.path, request: [1, 3, 6, 15, 51, 121], provide: [], ...more };
}

/** Asks for a lease and puts it on the interface, as an interface plugin does. @returns the address with its length */
export async function lease(containerId: string, sandbox: Sandbox): Promise<string> {
  const answer = await askAsync(allocation(containerId, sandbox));
  if (!answer.ok) throw new Error(answer.msg);
  const { ips } = answer.result as { ips: { address: string }[] };
  const address = ips[0]?.address ?? "";
  sandbox.ip("address", "add", address, "dev", "eth0");
  return address;
}

/** IPv4 addresses of a container's eth0, with their lengths. */
export function addressesIn(sandbox: Sandbox): string[] {
  const [link] = sandbox.ipJson<{ addr_info: { local: string; prefixlen: number }[] }>("-4", "address", "show", "dev", "eth0");
  return (link?.addr_info ?? []).map(({ local, prefixlen }) => `${local}/${prefixlen}`);
}
