// The one idiom for errors: lower layers throw what happened, each layer above says during which action.

/** The message of anything that was thrown. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Runs `work` and, should it throw, says what was being done: `Cannot <action>: <reason>`, with the original as `cause`.
 * @param action in the infinitive, with the object quoted: `attach "eth0" to bridge "cni0"`
 */
export function during<T>(action: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new Error(`Cannot ${action}: ${reason(error)}`, { cause: error });
  }
}

/**
 * Collects failures of work that must go on after one, as DEL, GC and rollback do.
 * Every step runs; `throwAny` reports all of them, the first one as the cause.
 */
export class Failures {
  readonly #errors: unknown[] = [];

  /** Runs `work`, keeps what it throws and returns undefined then. */
  attempt<T>(action: string, work: () => T): T | undefined {
    try {
      return during(action, work);
    } catch (error) {
      this.#errors.push(error);
      return undefined;
    }
  }

  /** Throws one error that names every failure kept; does nothing when there was none. */
  throwAny(): void {
    if (this.#errors.length > 0) {
      throw new Error(this.#errors.map(reason).join("; "), { cause: this.#errors[0] });
    }
  }
}
