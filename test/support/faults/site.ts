import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { expect } from "vitest";
import type { Answer, Caller, Json } from "../call-plugin.ts";
import type { Example } from "../examples.ts";
import { bin } from "../executable.ts";
import { freshNode, Sandbox } from "../node.ts";
import type { TracedCall } from "./trace.ts";

const cniVersion = "1.1.0";
const nobody = { "cni.dev/valid-attachments": [] };

/** A container, and the configuration of the type's own call for it. */
export interface Attachment {
  readonly containerId: string;
  readonly sandbox: Sandbox;
  /** With what the plugins before it in the chain made of the container. */
  readonly config: Json;
}

/** A node with nothing on it but what the example of a type needs, and calls of that type there. Each fault has a node of its own. */
export class Site {
  readonly example: Example;
  readonly #caller: Caller;
  readonly #sandboxes = new Set<Sandbox>();

  constructor(example: Example, caller: Caller) {
    this.example = example;
    this.#caller = caller;
  }

  /** Another node. */
  reset(): void {
    for (const sandbox of this.#sandboxes) sandbox[Symbol.dispose]();
    this.#sandboxes.clear();
    freshNode();
    rmSync("/var/log/podlink", { recursive: true, force: true });
    this.example.site.arrange();
  }

  /** A container that the plugins before this one in the chain have dealt with. */
  prepare(containerId: string): Attachment {
    const { arrangeContainer, own, runtimeConfig } = this.example;
    const { name } = this.example.config;
    const sandbox = new Sandbox();
    this.#sandboxes.add(sandbox);
    arrangeContainer?.(sandbox);
    let previous: Json = {};
    for (const { type, config } of this.#before()) {
      const call = { type, containerId, netns: sandbox.path, config: { ...config, ...previous } };
      previous = { prevResult: this.#caller.add(call) };
    }
    const handed = runtimeConfig === undefined ? {} : { runtimeConfig: runtimeConfig(`${name} ${containerId}`) };
    const config = { ...this.network(), ...previous, ...own?.(), ...handed };
    return { containerId, sandbox, config };
  }

  /** What a process is called with. @param more keys for the configuration */
  processCall(command: string, { containerId, sandbox, config }: Attachment, more: Json = {}): TracedCall {
    const { type } = this.example;
    const variables = { CNI_COMMAND: command, CNI_PATH: bin };
    if (command === "GC") return { type, env: variables, config: { ...this.network(), ...nobody } };
    const who = { CNI_CONTAINERID: containerId, CNI_NETNS: sandbox.path, CNI_IFNAME: "eth0" };
    return { type, env: { ...variables, ...who }, config: { ...config, ...more } };
  }

  /** The same call in this process. */
  call(command: string, { containerId, sandbox, config }: Attachment, more: Json = {}): Answer {
    const { type } = this.example;
    if (command === "GC") return this.#caller.call({ type, command, config: { ...this.network(), ...nobody } });
    return this.#caller.call({ type, command, containerId, netns: sandbox.path, config: { ...config, ...more } });
  }

  /** A call that must succeed. */
  succeed(command: string, attachment: Attachment, more: Json = {}): Answer {
    const answer = this.call(command, attachment, more);
    expect(answer, `${command} of ${this.example.type}`).toMatchObject({ exitCode: 0 });
    return answer;
  }

  add(attachment: Attachment): Json {
    return JSON.parse(this.succeed("ADD", attachment).stdout);
  }

  /** DEL of the plugins before this one in the chain, and the end of the container. */
  clear(attachment: Attachment): void {
    const { containerId, sandbox } = attachment;
    for (const call of this.#before().reverse()) {
      this.#caller.succeed({ ...call, command: "DEL", containerId, netns: sandbox.path });
    }
    this.#end(attachment);
  }

  /** The end of a container, with what the kernel does then. */
  leave(attachment: Attachment): void {
    const { sandbox } = attachment;
    if (!this.#sandboxes.has(sandbox)) return;
    const isInside = sandbox.run(() => spawnSync("ip", ["link", "show", "dev", "eth0"])).status === 0;
    if (isInside) this.example.endNamespace?.(sandbox);
    this.#end(attachment);
  }

  #end({ sandbox }: Attachment): void {
    this.#sandboxes.delete(sandbox);
    sandbox[Symbol.dispose]();
  }

  /** GC for a network without attachments: of the whole chain, or of the plugins before this one alone. */
  collect(which: "all" | "the rest" = "all"): void {
    const own = { type: this.example.type, config: this.network() };
    for (const { type, config } of [...(which === "all" ? [own] : []), ...this.#before()]) {
      this.#caller.succeed({ type, command: "GC", config: { ...config, ...nobody } });
    }
  }

  /** Another container comes and goes, which completes what belongs to the network. */
  passBy(): void {
    const other = this.prepare("cid-other");
    this.add(other);
    this.succeed("DEL", other);
    this.clear(other);
  }

  /** The network's configuration, as GC has it. */
  network(): Json {
    return { ...this.example.config, cniVersion };
  }

  #before(): { type: string; config: Json }[] {
    const { name } = this.example.config;
    return this.example.before.map((plugin) => ({ type: plugin.type, config: { ...plugin, name, cniVersion } }));
  }
}
