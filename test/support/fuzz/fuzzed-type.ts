import { expect } from "vitest";
import type { Response } from "../../../src/cni/handle.ts";
import { isIdentifier } from "../../../src/cni/invocation.ts";
import { isObject } from "../../../src/cni/json.ts";
import type { Version } from "../../../src/cni/version.ts";
import type { Json } from "../call-plugin.ts";
import { type Example, exampleOf } from "../examples.ts";
import { supports } from "../kernel-features.ts";
import { freshNode, nodeSnapshot, Sandbox } from "../node.ts";
import type { Environment, WatchedHost } from "./watched-host.ts";

interface Snapshot {
  readonly node: {
    readonly network: readonly string[];
    readonly sysctls: unknown;
    readonly nftables: readonly string[];
  } & Record<string, unknown>;
  readonly container: readonly string[];
}

/** The version that what comes before in the chain is spoken to in. */
const CHAIN_VERSION: Version = "1.1.0";

/** A plugin type with a node and a container for it, which show whether a call changed anything. */
export class FuzzedType {
  readonly example: Example;
  readonly #host: WatchedHost;
  #sandbox: Sandbox | undefined;
  /** What the plugins before it in the chain made. */
  #prevResult: Json = {};
  #clean: Snapshot | undefined;

  constructor(type: string, host: WatchedHost) {
    this.example = exampleOf(type);
    this.#host = host;
  }

  /** Makes node and container, and lets the type attach and detach once, after which what is the network's is there. */
  setUp(): void {
    this.dispose();
    freshNode();
    this.#arrange();
    this.#sandbox = new Sandbox();
    this.example.arrangeContainer?.(this.#sandbox);
    this.#prevResult = {};
    for (const { type, ...config } of this.example.before) {
      const request = { ...config, ...this.#prevResult, type, name: this.example.config.name, cniVersion: CHAIN_VERSION };
      const { exitCode, stdout } = this.#host.call(type, { env: this.env("ADD"), stdin: bytes(request) });
      if (exitCode !== 0) throw new Error(`${type}: ${stdout}`);
      this.#prevResult = { prevResult: JSON.parse(stdout) };
    }
    const config = this.config(CHAIN_VERSION);
    for (const command of ["ADD", "DEL"]) this.call(command, bytes(config));
    this.#clean = this.#look();
  }

  /** Without what this kernel lacks as much as there can be: every ADD is refused then. */
  #arrange(): void {
    try {
      this.example.site.arrange();
    } catch (error) {
      if (supports(...this.example.site.needs)) throw error;
    }
  }

  dispose(): void {
    this.#sandbox?.[Symbol.dispose]();
    this.#sandbox = undefined;
  }

  /** A configuration that is right. */
  config(cniVersion: Version): Json {
    const { example } = this;
    const { prevResult } = this.#prevResult;
    const previous = prevResult === undefined ? {} : { prevResult: { ...(prevResult as Json), cniVersion } };
    const handed = example.runtimeConfig === undefined ? {} : { runtimeConfig: example.runtimeConfig("one") };
    return { ...example.config, ...example.own?.(), ...handed, ...previous, cniVersion };
  }

  /** No runtime calls the plugins of a chain for different networks: another right name is replaced by the one the chain has. */
  inOneNetwork(config: unknown): unknown {
    if (this.example.before.length === 0 || !isObject(config)) return config;
    return typeof config.name === "string" && isIdentifier(config.name) ? { ...config, name: this.example.config.name } : config;
  }

  env(command: string): Environment {
    const attachment = { CNI_CONTAINERID: "cid-1", CNI_IFNAME: "eth0", CNI_NETNS: this.#sandbox?.path };
    return { CNI_COMMAND: command, ...(["GC", "STATUS", "VERSION"].includes(command) ? {} : attachment) };
  }

  call(command: string, stdin: Uint8Array, env: Environment = {}): Response {
    return this.#host.call(this.example.type, { env: { ...this.env(command), ...env }, stdin });
  }

  #look(): Snapshot {
    return { node: nodeSnapshot() as Snapshot["node"], container: this.#sandbox?.snapshot() ?? [] };
  }

  /**
   * Makes sure that nothing of an attachment is left, nor changed in the container.
   * @returns whether the node has more of the network's own than before: bridges and what is needed to forward
   */
  expectClean(): boolean {
    const [before, now] = [this.#clean, this.#look()];
    if (before === undefined) throw new Error("no node was made");
    expect(now.container, "the container is as before").toEqual(before.container);
    const { network: linesNow, sysctls: sysctlsNow, nftables: rulesNow, ...restNow } = now.node;
    const { network: linesBefore, sysctls: sysctlsBefore, nftables: rulesBefore, ...restBefore } = before.node;
    expect(restNow, "leases and files are as before").toEqual(restBefore);
    const moreRules = rulesNow.filter((line) => !rulesBefore.includes(line));
    expect(
      rulesNow.filter((line) => !moreRules.includes(line)),
      "rules and elements that were there are there",
    ).toEqual(rulesBefore);
    expect(
      moreRules.filter((line) => !/^\w+ podlink \w+: \[/.test(line)),
      "nothing but rules that are the same for all",
    ).toEqual([]);
    expect(
      linesBefore.filter((line) => !linesNow.includes(line) && !line.includes('"info_kind":"bridge"')),
      "nothing is gone",
    ).toEqual([]);
    const more = linesNow.filter((line) => !linesBefore.includes(line));
    const bridges = linesNow.flatMap((line) => {
      const { ifname, linkinfo } = JSON.parse(line);
      return ["bridge", "vlan"].includes(linkinfo?.info_kind) ? [ifname] : [];
    });
    const attachments = more.filter((line) => {
      const { ifname, dev } = JSON.parse(line);
      return !bridges.includes(ifname) && !bridges.includes(dev);
    });
    expect(attachments, "nothing of the attachment is left").toEqual([]);
    return more.length + moreRules.length > 0 || JSON.stringify(sysctlsNow) !== JSON.stringify(sysctlsBefore);
  }
}

function bytes(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}
