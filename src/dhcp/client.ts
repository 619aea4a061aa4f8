import type { Address } from "../ip/address.ts";
import { reason } from "../support/errors.ts";
import {
  type Action,
  type ClientOptions,
  defaultTiming,
  type Event,
  type Send,
  type State,
  type Timing,
} from "./client-events.ts";
import { type Lease, leaseFrom, sameConfiguration, shiftLease } from "./lease.ts";
import { type Reply, readReply, refusalText, whyUnexpected } from "./replies.ts";
import { type Question, questionIn, releaseOf, sendAction } from "./requests.ts";
import { renewPause, retryPause } from "./retry.ts";

/**
 * One interface's DHCP client, RFC 2131 section 4.4, without sockets and clocks; client-events.ts says how it is driven.
 * `now` is in milliseconds of any clock that does not go back.
 */
export class Client {
  readonly #options: ClientOptions & { readonly timing: Timing };
  #state: State = "init";
  #deadline: number | undefined;
  /** What the container uses. */
  #lease: Lease | undefined;
  /** What REQUEST asks for while requesting. */
  #offer: Lease | undefined;
  /** The address to ask for in DISCOVER: the one we had. */
  #wish: Address | undefined;
  #xid = 0;
  /** When this acquisition, renewal or verification began, for `secs`. */
  #begunAt = 0;
  /** Of the last question. An ACK may answer an earlier one; counting from here errs by less than the answer took. */
  #sentAt = 0;
  /** Messages sent in this state. */
  #tries = 0;
  /** Offers refused by a NAK, one after the other. */
  #refusals = 0;
  /** When to stop waiting for an answer to REQUEST. */
  #answerBy = Infinity;
  /** When to give up without any lease; never, once there was one. */
  #giveUpAt = Infinity;
  #problem = "no server answered";

  constructor(options: ClientOptions) {
    this.#options = { ...options, timing: { ...defaultTiming, ...options.timing } };
    this.#lease = options.previous;
  }

  get state(): State {
    return this.#state;
  }

  /** When to hand in `{ kind: "deadline" }`; undefined for never. May lie in the past, or further ahead than setTimeout can wait (24 days). */
  get deadline(): number | undefined {
    return this.#deadline === Infinity ? undefined : this.#deadline;
  }

  /** What the container uses now. */
  get lease(): Lease | undefined {
    return this.#lease;
  }

  /** @returns what to do, in this order */
  handle(event: Event, now: number): readonly Action[] {
    if (this.#state === "released" || this.#state === "failed" || this.#state === "gone") return [];
    const started = this.#deadline !== undefined;
    switch (event.kind) {
      case "start":
        return started ? [] : this.#start(now);
      case "received":
        return this.#received(event.payload, now);
      case "deadline":
        return started && now >= (this.#deadline ?? now) ? this.#due(now) : [];
      case "release":
        return this.#release(now);
      case "link-gone":
        return this.#linkGone();
      case "carrier":
        return started ? this.#carrier(now) : [];
    }
  }

  #start(now: number): Action[] {
    const lease = this.#lease;
    if (lease === undefined) {
      this.#giveUpAt = now + this.#options.timing.resendTimeout;
      return this.#discover(now);
    }
    if (now < lease.startsAt) {
      // The clock was set back and the lease's age is unknown: ask, and do not use it for longer than it was given
      this.#lease = shiftLease(lease, now - lease.startsAt);
      return this.#verify(now);
    }
    if (now >= lease.expiresAt) return this.#lose("it ended while nobody renewed it", now);
    return [{ kind: "bound", lease, changed: false, previous: lease }, ...this.#settle(lease, now)];
  }

  /** INIT and SELECTING. */
  #discover(now: number): Action[] {
    if (this.#state !== "requesting") this.#begunAt = now;
    this.#offer = undefined;
    this.#enter("selecting");
    return this.#ask(now);
  }

  /** INIT-REBOOT: is the lease still good where we are now? */
  #verify(now: number): Action[] {
    this.#begunAt = now;
    this.#answerBy = now + this.#options.timing.timeout;
    this.#enter("rebooting");
    return this.#ask(now);
  }

  /** BOUND, or what follows if that time is over. */
  #settle(lease: Lease, now: number): Action[] {
    this.#enter("bound");
    this.#deadline = lease.renewAt;
    return now < lease.renewAt ? [] : this.#due(now);
  }

  /** RENEWING until T2, REBINDING from there. */
  #renew(lease: Lease, now: number): Action[] {
    const state = now < lease.rebindAt ? "renewing" : "rebinding";
    // One xid from T1 to the end, or a server slower than our pauses would never be heard
    if (this.#state === "bound") this.#begunAt = now;
    this.#state = state;
    const [since, until] = state === "renewing" ? [lease.renewAt, lease.rebindAt] : [lease.rebindAt, lease.expiresAt];
    this.#deadline = now + renewPause(now, { since, until });
    return [this.#send(questionIn(state, { lease }), now)];
  }

  #enter(state: State): void {
    this.#state = state;
    this.#deadline = undefined;
    this.#tries = 0;
    this.#xid = Math.floor(this.#options.random() * 0x100000000) >>> 0;
  }

  /** DISCOVER, or REQUEST without a lease to renew, again and again at growing intervals. */
  #ask(now: number): Action[] {
    const limits = this.#state === "selecting" ? [] : [this.#answerBy, this.#lease?.expiresAt ?? Infinity];
    this.#deadline = Math.min(now + retryPause(++this.#tries, this.#options), this.#giveUpAt, ...limits);
    return [this.#send(questionIn(this.#state, { lease: this.#lease, offer: this.#offer, wish: this.#wish }), now)];
  }

  #send(question: Question, now: number): Send {
    this.#sentAt = now;
    return sendAction(this.#options, question, { xid: this.#xid, secs: Math.max(0, Math.floor((now - this.#begunAt) / 1000)) });
  }

  #due(now: number): Action[] {
    const lease = this.#lease;
    if (lease !== undefined) {
      if (now >= lease.expiresAt) return this.#lose("it ended and no server renewed it", now);
      if (this.#state !== "rebooting") return this.#renew(lease, now);
      // RFC 2131 section 3.2: without an answer, a lease may be used to its end
      return now < this.#answerBy ? this.#ask(now) : this.#settle(lease, now);
    }
    if (now >= this.#giveUpAt) return this.#fail(`${this.#problem} (tried for ${this.#options.timing.resendTimeout / 1000} s)`);
    if (this.#state === "requesting" && now >= this.#answerBy) {
      this.#problem = `server ${this.#offer?.server} offered ${this.#offer?.address.address} and did not answer the request for it`;
      return this.#discover(now);
    }
    return this.#state === "init" ? this.#discover(now) : this.#ask(now);
  }

  #received(payload: Uint8Array, now: number): Action[] {
    const reply = readReply(payload, this.#options, this.#xid);
    if (reply === "foreign") return [];
    if (reply === "malformed") return [{ kind: "ignored", reason: "a datagram that is no DHCP message" }];
    const { type = "BOOTP reply" } = reply;
    const unexpected = whyUnexpected(reply, { state: this.#state, offer: this.#offer });
    if (unexpected !== undefined) return [{ kind: "ignored", reason: `${type}: ${unexpected}` }];
    try {
      if (type === "OFFER") return this.#offered(reply, now);
      return type === "NAK" ? this.#refused(reply, now) : this.#acknowledged(reply, now);
    } catch (error) {
      return [{ kind: "ignored", reason: `${type}: ${reason(error)}` }];
    }
  }

  /** The first good offer is taken: waiting for a better one would make every ADD slower. */
  #offered({ message }: Reply, now: number): Action[] {
    this.#offer = leaseFrom(message, { sentAt: this.#sentAt });
    this.#answerBy = now + this.#options.timing.timeout;
    const xid = this.#xid;
    this.#enter("requesting");
    this.#xid = xid; // RFC 2131 table 4: a REQUEST has that of its OFFER
    return this.#ask(now);
  }

  #acknowledged({ message }: Reply, now: number): Action[] {
    const previous = this.#lease;
    const lease = leaseFrom(message, { sentAt: this.#sentAt, server: (this.#offer ?? previous)?.server });
    if (now >= lease.expiresAt) throw new RangeError("its lease is over already");
    this.#lease = lease;
    this.#offer = undefined;
    this.#refusals = 0;
    this.#giveUpAt = Infinity;
    return [{ kind: "bound", lease, changed: !sameConfiguration(previous, lease), previous }, ...this.#settle(lease, now)];
  }

  #refused(reply: Reply, now: number): Action[] {
    this.#problem = refusalText(reply, (this.#lease ?? this.#offer)?.address.address);
    this.#wish = undefined;
    if (this.#lease !== undefined) return this.#lose(this.#problem, now);
    if (this.#refusals++ === 0) return this.#discover(now);
    // offered and refused again and again: not at the speed of the network
    this.#enter("init");
    this.#deadline = Math.min(now + retryPause(this.#refusals, this.#options), this.#giveUpAt);
    return [];
  }

  #lose(why: string, now: number): Action[] {
    const lease = this.#lease;
    if (lease === undefined) return this.#discover(now);
    if (now >= lease.expiresAt) this.#wish = lease.address.address;
    this.#lease = undefined;
    return [{ kind: "lost", lease, reason: why }, ...this.#discover(now)];
  }

  /** RFC 2131 section 4.4.6. Nobody answers it. */
  #release(now: number): Action[] {
    const lease = this.#lease ?? this.#offer;
    this.#begunAt = now;
    this.#enter("released");
    return lease === undefined || now >= lease.expiresAt ? [] : [this.#send(releaseOf(lease), now)];
  }

  #linkGone(): Action[] {
    const lease = this.#lease;
    if (lease === undefined) return this.#fail("the link is gone");
    this.#enter("gone");
    return [{ kind: "lost", lease, reason: "the link is gone" }];
  }

  #fail(why: string): Action[] {
    this.#enter("failed");
    return [{ kind: "failed", reason: why }];
  }

  #carrier(now: number): Action[] {
    if (this.#lease !== undefined) return this.#verify(now);
    if (this.#state === "init") return this.#discover(now);
    this.#tries = 0;
    return this.#ask(now);
  }
}
