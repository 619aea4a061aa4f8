interface Waiter<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** Those who wait for the same thing, each with a time of his own. */
export class Waiters<T> {
  readonly #waiters = new Set<Waiter<T>>();

  get any(): boolean {
    return this.#waiters.size > 0;
  }

  /** Kept by `resolve`, broken by `reject` or when the time is over. */
  wait(timeoutMs: number, timedOut: () => Error): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.delete(waiter);
        reject(timedOut());
      }, timeoutMs);
      const waiter = { resolve, reject, timer };
      this.#waiters.add(waiter);
    });
  }

  resolve(value: T): void {
    for (const { resolve } of this.#taken()) resolve(value);
  }

  reject(error: Error): void {
    for (const { reject } of this.#taken()) reject(error);
  }

  #taken(): Waiter<T>[] {
    const all = [...this.#waiters];
    this.#waiters.clear();
    for (const { timer } of all) clearTimeout(timer);
    return all;
  }
}
