import type { Attachment, Network, Verb } from "./network.ts";
import { type Command, type Ended, ended, monotonicMs, start } from "./spawn.ts";

/** What one of many took. */
export interface Took {
  /** From when all were asked for until it was done: what a runtime waits. */
  readonly ms: number;
  /** Processor time of all its processes. */
  readonly cpuMs: number;
}

type Started = ReturnType<typeof start>;

interface Underway {
  readonly commands: Generator<Command, void, Ended>;
  cpuMs: number;
}

/** Does a verb for many containers of a network, `atOnce` of them at a time. */
export function together(
  network: Network,
  { verb, attachments, atOnce }: { verb: Verb; attachments: readonly Attachment[]; atOnce: number },
): Took[] {
  const waiting = attachments.map((attachment) => network.commands(verb, attachment));
  const running = new Map<Started, Underway>();
  const took: Took[] = [];
  const asked = monotonicMs();
  const proceed = (underway: Underway, outcome?: Ended) => {
    const step = outcome === undefined ? underway.commands.next() : underway.commands.next(outcome);
    if (step.done === true) took.push({ ms: monotonicMs() - asked, cpuMs: underway.cpuMs });
    else running.set(start(step.value), underway);
  };
  network.node.inside(() => {
    for (;;) {
      while (running.size < atOnce) {
        const commands = waiting.shift();
        if (commands === undefined) break;
        proceed({ commands, cpuMs: 0 });
      }
      if (running.size === 0) return;
      const { process, outcome } = ended([...running.keys()]);
      const underway = running.get(process);
      running.delete(process);
      if (underway === undefined) continue;
      underway.cpuMs += outcome.cpuMs;
      proceed(underway, outcome);
    }
  });
  return took;
}
