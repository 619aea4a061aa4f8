import { reason } from "./errors.ts";

/**
 * Undoes what was done when a call fails half way. Taken with `using`; the undo of a step is deferred right after the step.
 * Unless committed, disposal runs the undos newest first; an undo that fails is told to `report` and the others still run,
 * so the error that ended the call is the one the caller sees.
 */
export class Rollback implements Disposable {
  readonly #undos: { action: string; undo: () => void }[] = [];
  readonly #report: (message: string) => void;

  constructor(report: (message: string) => void) {
    this.#report = report;
  }

  /** @param action what `undo` does, in the infinitive: `delete veth "podl1a2b"` */
  defer(action: string, undo: () => void): void {
    this.#undos.push({ action, undo });
  }

  /** The call has succeeded: nothing is undone any more. */
  commit(): void {
    this.#undos.length = 0;
  }

  [Symbol.dispose](): void {
    for (const { action, undo } of this.#undos.splice(0).reverse()) {
      try {
        undo();
      } catch (error) {
        this.#report(`Cannot ${action} while undoing: ${reason(error)}`);
      }
    }
  }
}
