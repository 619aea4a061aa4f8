import { now } from "./clock.ts";

/** One change to the node: the command a person would have typed for it, and what became of it. */
export interface Step {
  /** `ip link add …`, `sysctl -w …`, `rm …` */
  readonly command: string;
  /** Milliseconds the change took. */
  readonly ms: number;
  readonly error?: string;
}

/**
 * The record of every change a call makes to the node, in order.
 * Timings in the log, `--explain` and the kill points of fault tests come from it.
 */
export class Steps {
  readonly #list: Step[] = [];

  get list(): readonly Step[] {
    return this.#list;
  }

  /** Makes one change and records it; a failed change is recorded with its error, which goes on to the caller. */
  run<T>(command: string, change: () => T): T {
    const started = now();
    try {
      const value = change();
      this.#list.push({ command, ms: now() - started });
      return value;
    } catch (error) {
      this.#list.push({ command, ms: now() - started, error: String(error) });
      throw error;
    }
  }
}
