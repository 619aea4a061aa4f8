import { CniError, codes } from "../cni/error.ts";
import type { Result } from "../cni/result.ts";
import type { AllocateRequest, DaemonRequest, LeaseOwner } from "../dhcp/protocol.ts";
import { type FoundRecord, listRecords, recordKey, removeRecord } from "../ipam/dhcp-records.ts";
import { reason } from "../support/errors.ts";
import { isNetns } from "../sys/netns.ts";
import { LeaseKeeper } from "./keeper.ts";
import { recordFromJson } from "./record.ts";
import type { KeeperContext } from "./settings.ts";

/** Every lease of a daemon, by attachment. */
export class LeaseBook {
  readonly #keepers = new Map<string, LeaseKeeper>();
  readonly #context: KeeperContext;

  constructor(context: Omit<KeeperContext, "ended">) {
    this.#context = {
      ...context,
      ended: (keeper) => {
        for (const [key, known] of this.#keepers) if (known === keeper) this.#keepers.delete(key);
      },
    };
  }

  get size(): number {
    return this.#keepers.size;
  }

  /** Goes on with what an earlier run of this daemon left on disk; what nobody can use any more is dropped. */
  resume(): void {
    for (const record of listRecords()) {
      try {
        this.#resume(record);
      } catch (error) {
        this.#context.log(`Dropped the lease in "${record.key}.json": ${reason(error)}`);
        removeRecord(record.key);
      }
    }
  }

  #resume({ key, content, released }: FoundRecord): void {
    const record = recordFromJson(content);
    if (record.socketPath !== this.#context.settings.socketPath) return; // another daemon's
    if (record.bootId !== this.#context.bootId) throw new Error("it is from before the machine was started");
    if (recordKey(record.wish.attachment) !== key) throw new Error("it is another attachment's by its content");
    const keeper = new LeaseKeeper(record.wish, { context: this.#context, record });
    this.#keepers.set(key, keeper);
    if (released) keeper.release();
    else keeper.resume();
  }

  /** Answers a request. @param given.up is kept when the asking side is gone @throws CniError */
  async answer(request: DaemonRequest, given: { up: Promise<void> }): Promise<unknown> {
    switch (request.call) {
      case "allocate":
        return this.#allocate(request, given);
      case "check":
        return this.#check(request.attachment);
      case "release":
        this.#keepers.get(recordKey(request.attachment))?.release();
        return null;
      case "collect":
        this.#collect(request);
        return null;
      case "status":
        return { leases: this.#keepers.size };
    }
  }

  async #allocate(wish: AllocateRequest, given: { up: Promise<void> }): Promise<Result> {
    const keeper = this.#keeperFor(wish);
    const isOurs = keeper.result === undefined;
    // Whoever asked for the lease has to configure it; when he is gone, nobody does
    let done = false;
    void given.up.then(() => {
      if (isOurs && !done) keeper.release("nobody waits for it any more");
    });
    try {
      return await keeper.leased();
    } catch (error) {
      throw refusal(wish, error);
    } finally {
      done = true;
    }
  }

  /** The keeper of an attachment's lease; a new one where the interface is not the one that there is a lease for. */
  #keeperFor(wish: AllocateRequest): LeaseKeeper {
    const key = recordKey(wish.attachment);
    const known = this.#keepers.get(key);
    if (known?.isCurrent() && known.wish.netns === wish.netns) return known;
    known?.release();
    removeRecord(key); // and what a DEL asked for that did not reach the daemon
    const keeper = new LeaseKeeper(wish, { context: this.#context });
    this.#keepers.set(key, keeper);
    try {
      keeper.start();
      return keeper;
    } catch (error) {
      keeper.stop();
      this.#keepers.delete(key);
      throw refusal(wish, error);
    }
  }

  #check(attachment: LeaseOwner): Result {
    const keeper = this.#keepers.get(recordKey(attachment));
    const who = `"${attachment.containerId}"/"${attachment.ifname}"`;
    if (keeper === undefined) throw new CniError(codes.internal, `there is no lease for ${who}`);
    if (keeper.result === undefined) throw new CniError(codes.internal, `the lease of ${who} is lost, another one is looked for`);
    if (!keeper.isCurrent()) throw new CniError(codes.internal, `the interface that the lease of ${who} was for is gone`);
    return keeper.result;
  }

  #collect({ network, valid }: Extract<DaemonRequest, { call: "collect" }>): void {
    const kept = new Set(valid.map((owner) => recordKey({ ...owner, network })));
    for (const keeper of [...this.#keepers.values()]) {
      if (keeper.wish.attachment.network === network && !kept.has(keeper.key)) keeper.release();
    }
  }

  /** Stops keeping; leases stay as they are. */
  stop(): void {
    for (const keeper of this.#keepers.values()) keeper.stop();
    this.#keepers.clear();
  }
}

function refusal({ attachment, netns }: AllocateRequest, error: unknown): CniError {
  const code = isNetns(netns) ? codes.internal : codes.invalidNetns;
  const who = `"${attachment.containerId}"/"${attachment.ifname}"`;
  return new CniError(code, `Cannot lease an address for ${who}: ${reason(error)}`, { cause: error });
}
