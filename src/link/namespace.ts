import { NetlinkConnection } from "../netlink/connection.ts";
import { Nftables } from "../netlink/netfilter/nftables.ts";
import { shellWord } from "../support/shell-word.ts";
import type { Steps } from "../support/steps.ts";
import { Netns, withNetns } from "../sys/netns.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../sys/socket.ts";

/**
 * A network namespace to work in: its rtnetlink connection, opened there once, and the record of changes made.
 * Commands are recorded as a person on the host would type them.
 */
export class NetworkNamespace implements Disposable {
  readonly netlink: NetlinkConnection;
  readonly #steps: Steps;
  readonly #netns: Netns | undefined;
  #nftables: Nftables | undefined;

  private constructor(netlink: NetlinkConnection, options: { steps: Steps; netns: Netns | undefined }) {
    this.netlink = netlink;
    this.#steps = options.steps;
    this.#netns = options.netns;
  }

  /** The namespace this process stands in. */
  static host(steps: Steps): NetworkNamespace {
    return new NetworkNamespace(new NetlinkConnection(NetlinkSocket.open(NETLINK_ROUTE)), { steps, netns: undefined });
  }

  /** A container's namespace; takes over `netns` and closes it at the end. */
  static container(netns: Netns, steps: Steps): NetworkNamespace {
    const socket = withNetns(netns, () => NetlinkSocket.open(NETLINK_ROUTE));
    return new NetworkNamespace(new NetlinkConnection(socket), { steps, netns });
  }

  /** File descriptor of the container's namespace, for IFLA_NET_NS_FD; the host's is not opened. */
  get fd(): number {
    return this.#opened.fd;
  }

  /** Path of the container's namespace, as the runtime gave it. */
  get path(): string {
    return this.#opened.path;
  }

  get #opened(): Netns {
    if (this.#netns === undefined) throw new Error("Cannot name the host's network namespace: it was not opened");
    return this.#netns;
  }

  /** nf_tables of this namespace; its connection is opened when it is first asked for. */
  get nftables(): Nftables {
    this.#nftables ??= this.inside(() => Nftables.open());
    return this.#nftables;
  }

  /** Makes one change and records it under the command a person would have typed, which a shell must be able to read. */
  change<T>(command: string, work: () => T): T {
    const prefix = this.#netns === undefined ? "" : `nsenter ${shellWord(`--net=${this.#netns.path}`)} `;
    return this.#steps.run(prefix + command, work);
  }

  /** Runs synchronous work that is not netlink (sysctls, packet sockets) with this thread inside the namespace. */
  inside<T>(work: () => T): T {
    return this.#netns === undefined ? work() : withNetns(this.#netns, work as () => never);
  }

  [Symbol.dispose](): void {
    this.#nftables?.[Symbol.dispose]();
    this.netlink[Symbol.dispose]();
    this.#netns?.[Symbol.dispose]();
  }
}

/** The two namespaces an attachment joins. */
export class Sandbox implements Disposable {
  readonly host: NetworkNamespace;
  readonly container: NetworkNamespace;

  private constructor(host: NetworkNamespace, container: NetworkNamespace) {
    this.host = host;
    this.container = container;
  }

  /** @throws NetnsGoneError when the path is not a network namespace */
  static open(path: string, steps: Steps): Sandbox {
    const netns = Netns.open(path);
    try {
      const container = NetworkNamespace.container(netns, steps);
      return new Sandbox(NetworkNamespace.host(steps), container);
    } catch (error) {
      netns[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.container[Symbol.dispose]();
    this.host[Symbol.dispose]();
  }
}
