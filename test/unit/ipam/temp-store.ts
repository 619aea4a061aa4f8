import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LeaseStore } from "../../../src/ipam/lease-store.ts";
import { Steps } from "../../../src/support/steps.ts";

/** A network's lease directory below a data directory of its own, gone at the end of the `using` block. */
export class TempStore implements Disposable {
  readonly dataDir = mkdtempSync(join(tmpdir(), "podlink-ipam-"));
  readonly dir = join(this.dataDir, "net1");
  readonly steps = new Steps();
  readonly warnings: string[] = [];

  /** @param files contents by name, as somebody has left them */
  constructor(files: Readonly<Record<string, string>> = {}) {
    mkdirSync(this.dir);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(this.dir, name), text);
  }

  open(lockTimeoutMs = 5000): LeaseStore {
    return LeaseStore.create(this.dir, { steps: this.steps, warn: (message) => this.warnings.push(message), lockTimeoutMs });
  }

  /** Everything in the directory but the lock: contents by name. */
  files(): Record<string, string> {
    const names = readdirSync(this.dir).filter((name) => name !== "lock");
    return Object.fromEntries(names.sort().map((name) => [name, readFileSync(join(this.dir, name), "utf8")]));
  }

  [Symbol.dispose](): void {
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}
