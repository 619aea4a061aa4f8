import type { Result } from "../cni/result.ts";
import type { Client } from "../dhcp/client.ts";
import type { Action, Event, Send } from "../dhcp/client-events.ts";
import { type Lease, leaseResult } from "../dhcp/lease.ts";
import type { AllocateRequest } from "../dhcp/protocol.ts";
import { isReleaseRequested, recordKey, removeRecord, writeRecord } from "../ipam/dhcp-records.ts";
import { reason } from "../support/errors.ts";
import { bootClock } from "../sys/boot-clock.ts";
import { type ContainerFacts, ContainerSide } from "./container-side.ts";
import { makeClient } from "./lease-client.ts";
import { LinkGoneError } from "./place.ts";
import { type LeaseRecord, recordToJson } from "./record.ts";
import type { KeeperContext } from "./settings.ts";
import { Waiters } from "./waiters.ts";

/** Timers run in a clock that stops while the machine sleeps, leases do not. */
const LONGEST_TIMER_MS = 60_000;

/** How long sockets stay open for an answer while the container has an address anyway. */
const PATIENCE_MS = 10_000;

/** How long a link may take until it carries frames; then it is tried all the same. */
const CARRIER_TIMEOUT_MS = 2000;

/** When a first DISCOVER is said again: a bridge's port that has just come up forwards nothing until the bridge has noticed. */
const NUDGES_MS = [200, 1000];

/** Leases an address for one attachment and keeps it: where a client meets clock, disk and interface. */
export class LeaseKeeper {
  readonly wish: AllocateRequest;
  readonly key: string;
  readonly #context: KeeperContext;
  readonly #container: ContainerSide;
  readonly #waiters = new Waiters<Result>();
  #client: Client | undefined;
  #timer: NodeJS.Timeout | undefined;
  #nudges: NodeJS.Timeout[] = [];
  #sentAt = 0;
  /** What is on the interface. */
  #configured: Lease | undefined;
  /** The first lease is configured by the interface plugin that asked for it; whatever comes after its answer, by us. */
  #answered: boolean;
  #lastIgnored = "";
  #endedBecause: Error | undefined;

  /** @param record what is known of a lease of an earlier run */
  constructor(wish: AllocateRequest, { context, record }: { context: KeeperContext; record?: LeaseRecord }) {
    this.wish = wish;
    this.key = recordKey(wish.attachment);
    this.#context = context;
    const place = { netns: context.settings.hostPrefix + wish.netns, ifname: wish.attachment.ifname };
    const listener = {
      received: (payload: Uint8Array) => this.#handle({ kind: "received", payload }),
      carries: () => this.#handle({ kind: this.#client?.state === "init" ? "start" : "carrier" }),
      gone: (why: string) => this.#gone(why),
    };
    this.#container = new ContainerSide(place, { poller: context.poller, listener, facts: record?.facts });
    this.#configured = record?.lease;
    this.#answered = record !== undefined;
    if (record !== undefined) this.#makeClient(record.facts, record.lease);
  }

  /** Undefined while there is none. */
  get lease(): Lease | undefined {
    return this.#client?.lease;
  }

  get result(): Result | undefined {
    return this.#resultOf(this.lease);
  }

  /** Whether it keeps a lease, or tries to, for the interface that is at its place now. */
  isCurrent(): boolean {
    return this.#endedBecause === undefined && this.#container.isThere();
  }

  /** Starts to look for a lease. @throws LinkGoneError and what else the namespace has to say */
  start(): void {
    const carries = this.#container.open();
    this.#makeClient(this.#container.facts);
    if (carries) this.#handle({ kind: "start" });
    else this.#timer = setTimeout(() => this.#handle({ kind: "start" }), CARRIER_TIMEOUT_MS);
    this.#nudges = NUDGES_MS.map((ms) => setTimeout(() => this.#nudge(), ms));
  }

  /** Goes on with the lease of an earlier run. */
  resume(): void {
    if (this.#container.isThere()) this.#handle({ kind: "start" });
    else this.#gone("the interface or its namespace is gone");
  }

  /** The lease, as soon as there is one. Rejected when there is going to be none, or the time is over. */
  leased(): Promise<Result> {
    const { result } = this;
    if (result !== undefined) return Promise.resolve(result);
    if (this.#endedBecause !== undefined) return Promise.reject(this.#endedBecause);
    const patience = this.#context.settings.timing.resendTimeout + 1000;
    return this.#waiters.wait(patience, () => new Error(`no server answered within ${patience / 1000} s`));
  }

  /** Gives the lease back, and forgets it. That the server hears of it is best effort, as RFC 2131 has it. */
  release(why = "it was released meanwhile"): void {
    if (this.#endedBecause !== undefined) return;
    if (this.lease === undefined) this.#log(`gave up: ${why}`);
    const address = String(this.lease?.address ?? "what was offered");
    for (const action of this.#client?.handle({ kind: "release" }, bootClock()) ?? []) {
      if (action.kind === "send") this.#tellRelease(action, address);
    }
    this.#end(new Error(why));
  }

  #tellRelease(message: Send, address: string): void {
    try {
      const door = this.#container.sendRelease(message);
      this.#log(`released ${address}${door === undefined ? "" : `, from "${door}" because the interface is gone`}`);
    } catch (error) {
      this.#log(`dropped ${address}; its server was not told and keeps it until it runs out: ${reason(error)}`);
    }
  }

  /** Stops without giving anything back: what is on disk is gone on with by the next daemon. */
  stop(): void {
    this.#close(new Error("the daemon stops"));
  }

  #makeClient(facts: ContainerFacts | undefined, previous?: Lease): void {
    const mac = facts?.identity.mac ?? "";
    this.#client = makeClient(this.wish, { mac, settings: this.#context.settings, previous });
  }

  /** Hands an event to the client, does what it wants done, and arranges for the next one. */
  #handle(event: Event): void {
    const client = this.#client;
    if (client === undefined || this.#endedBecause !== undefined) return;
    try {
      for (const action of client.handle(event, bootClock())) this.#perform(action);
    } catch (error) {
      if (error instanceof LinkGoneError) this.#gone(error.message);
      else this.#log(reason(error));
    }
    if (this.#endedBecause !== undefined) return;
    if (client.state === "bound") this.#container.close();
    this.#arrange(client);
  }

  #arrange(client: Client): void {
    clearTimeout(this.#timer);
    const { deadline } = client;
    const untilDeadline = deadline === undefined ? LONGEST_TIMER_MS : Math.max(1, deadline - bootClock());
    const longest = this.#container.isOpen ? PATIENCE_MS : LONGEST_TIMER_MS;
    this.#timer = setTimeout(() => this.#tick(client), Math.min(untilDeadline, longest));
  }

  #nudge(): void {
    if (this.#client?.state === "selecting") this.#handle({ kind: "carrier" });
  }

  #tick(client: Client): void {
    const now = bootClock();
    if (isReleaseRequested(this.key)) this.release();
    else if (client.deadline === undefined || now < client.deadline) {
      if (this.lease !== undefined && now - this.#sentAt >= PATIENCE_MS) this.#container.close();
      this.#arrange(client);
    } else if (this.#container.isThere()) this.#handle({ kind: "deadline" });
    else this.#gone("the interface or its namespace is gone"); // another container may have the path by now
  }

  #perform(action: Action): void {
    switch (action.kind) {
      case "send":
        this.#send(action);
        break;
      case "bound":
        this.#bound(action);
        break;
      case "lost":
        this.#lost(action);
        break;
      case "failed":
        this.#end(new Error(action.reason));
        break;
      case "ignored":
        if (action.reason !== this.#lastIgnored) this.#log(`ignored ${action.reason}`);
        this.#lastIgnored = action.reason;
    }
  }

  #send(message: Send): void {
    this.#sentAt = bootClock();
    try {
      const detour = this.#container.send(message);
      if (detour !== undefined) this.#log(`${message.type} went by broadcast: ${detour}`);
    } catch (error) {
      if (error instanceof LinkGoneError) throw error;
      this.#log(`Cannot send ${message.type}: ${reason(error)}`); // it is sent again, as one that was lost on the way
    }
  }

  #bound({ lease, changed }: Extract<Action, { kind: "bound" }>): void {
    this.#container.noteServer();
    this.#save(lease);
    if (changed || !this.#answered) this.#log(`leased ${lease.address} from ${lease.server}, ${duration(lease)}`);
    if (this.#answered && changed) this.#apply(lease);
    if (!this.#answered) this.#configured = lease;
    this.#answered ||= this.#waiters.any;
    this.#waiters.resolve(leaseResult(lease, this.wish));
  }

  #lost({ lease, reason: why }: Extract<Action, { kind: "lost" }>): void {
    this.#log(`lost ${lease.address}: ${why}`);
    const now = bootClock();
    // Also for another run of the daemon, which looks for a new one then
    this.#save({ ...lease, startsAt: Math.min(lease.startsAt, now), renewAt: now, rebindAt: now, expiresAt: now });
    this.#apply(undefined);
  }

  /** Puts a lease on the interface in the place of the one that is there. */
  #apply(lease: Lease | undefined): void {
    try {
      const change = { before: this.#resultOf(this.#configured), after: this.#resultOf(lease) };
      for (const command of this.#container.apply(change)) this.#log(command);
      this.#configured = lease;
    } catch (error) {
      if (error instanceof LinkGoneError) throw error;
      this.#log(`Cannot configure "${this.wish.attachment.ifname}": ${reason(error)}`);
    }
  }

  #save(lease: Lease): void {
    const { bootId, settings } = this.#context;
    const { facts } = this.#container;
    if (facts === undefined) return;
    try {
      writeRecord(this.key, recordToJson({ wish: this.wish, facts, lease, bootId, socketPath: settings.socketPath }));
    } catch (error) {
      this.#log(`Cannot write the lease down, a restart will not know of it: ${reason(error)}`);
    }
  }

  #gone(why: string): void {
    if (this.#endedBecause !== undefined) return;
    this.#log(why);
    this.release(why);
  }

  #end(why: Error): void {
    removeRecord(this.key);
    this.#close(why);
    this.#context.ended(this);
  }

  #close(why: Error): void {
    this.#endedBecause = why;
    for (const timer of [this.#timer, ...this.#nudges]) clearTimeout(timer);
    this.#container.close();
    this.#waiters.reject(why);
  }

  #resultOf(lease: Lease | undefined): Result | undefined {
    return lease === undefined ? undefined : leaseResult(lease, this.wish);
  }

  #log(text: string): void {
    const { network, containerId, ifname } = this.wish.attachment;
    this.#context.log(`${network} "${containerId}"/"${ifname}": ${text}`);
  }
}

function duration({ startsAt, expiresAt }: Lease): string {
  return expiresAt === Infinity ? "for ever" : `for ${Math.round((expiresAt - startsAt) / 1000)} s`;
}
