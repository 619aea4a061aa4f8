import { join } from "node:path";
import type { Bench } from "./figure.ts";
import type { Parts } from "./measure.ts";
import { Container, Node } from "./node.ts";
import { type Command, type Ended, ended, start } from "./spawn.ts";

/** One plugin's configuration, and the `path` where it finds iptables and nft. */
export type Plugin = { readonly type: string; readonly path?: string } & Readonly<Record<string, unknown>>;

export interface NetworkOptions {
  /** Of the network; it must be one of its kind in this run. */
  readonly name: string;
  /** Directory of the plugins. */
  readonly bin: string;
  /** By the number of the container: each has host ports of its own. */
  readonly plugins: (number: number) => readonly Plugin[];
  readonly ifname?: string;
}

export type Verb = "ADD" | "CHECK" | "DEL";

/** A container on its way through the chain of plugins. */
export interface Attachment {
  readonly number: number;
  readonly container: Container;
  /** The last plugin's, as soon as there is one. */
  prevResult?: unknown;
}

/** A network on a node of its own, to which containers are attached as a container runtime does. */
export class Network implements Disposable {
  readonly options: NetworkOptions;
  readonly node: Node;
  readonly #log: string;
  readonly #stack = new DisposableStack();
  #checks = true;

  constructor({ scratch }: Bench, options: NetworkOptions) {
    this.options = options;
    this.node = this.#stack.use(new Node());
    this.#log = join(scratch, "log");
  }

  /** A container whose namespace stays until the network goes: the kernel's work after its end disturbs no measurement. */
  attachment(number = 0): Attachment {
    return { number, container: this.#stack.use(new Container()) };
  }

  /** A container comes, is checked and goes. @returns milliseconds of all processes that each verb takes */
  readonly comeAndGo = (): Parts<Verb> => {
    const attachment = this.attachment();
    const add = this.#run("ADD", attachment);
    const check = this.#checks ? this.#tryCheck(attachment) : undefined;
    const del = this.#run("DEL", attachment);
    return { ADD: add, ...(check === undefined ? {} : { CHECK: check }), DEL: del };
  };

  /** What is run for a verb, one after the other: the next must be asked for when the one before it has ended. */
  *commands(verb: Verb, attachment: Attachment): Generator<Command, void, Ended> {
    const plugins = this.options.plugins(attachment.number);
    for (const plugin of verb === "DEL" ? plugins.toReversed() : plugins) {
      const command = this.#command(plugin, { verb, attachment });
      const { stdout } = succeeded(command, yield command);
      if (verb === "ADD") attachment.prevResult = JSON.parse(stdout);
    }
  }

  #command({ path = "/usr/sbin:/usr/bin:/sbin:/bin", ...plugin }: Plugin, call: { verb: Verb; attachment: Attachment }): Command {
    const { name, bin, ifname = "eth0" } = this.options;
    const { number, container, prevResult } = call.attachment;
    const who = { CNI_CONTAINERID: `bench-${number}`, CNI_NETNS: container.netns, CNI_IFNAME: ifname, CNI_PATH: bin };
    const env = { ...who, CNI_COMMAND: call.verb, PATH: path, PODLINK_LOG: this.#log };
    const input = JSON.stringify({ cniVersion: "1.0.0", name, ...plugin, ...(prevResult === undefined ? {} : { prevResult }) });
    return { program: join(bin, plugin.type), env, input };
  }

  #run(verb: Verb, attachment: Attachment): number {
    let total = 0;
    const commands = this.commands(verb, attachment);
    for (let step = commands.next(); step.done !== true; ) {
      const command = step.value;
      const outcome = this.node.inside(() => ended([start(command)]).outcome);
      total += outcome.ms;
      step = commands.next(outcome);
    }
    return total;
  }

  /** The reference's CHECK fails where its ADD did well, for some configurations: then there is nothing to compare with. */
  #tryCheck(attachment: Attachment): number | undefined {
    try {
      return this.#run("CHECK", attachment);
    } catch (error) {
      if (!this.options.bin.includes("reference")) throw error;
      this.#checks = false;
      return undefined;
    }
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }
}

/** What a program that had to succeed did. */
export function succeeded({ program, env }: Command, outcome: Ended): Ended {
  const { status, stdout, stderr } = outcome;
  if (status === 0) return outcome;
  throw new Error(`Cannot measure "${program}" ${env.CNI_COMMAND ?? ""}: status ${status}, ${stderr}${stdout}`);
}
