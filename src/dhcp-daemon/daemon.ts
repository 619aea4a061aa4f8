import { rmSync } from "node:fs";
import { writeDurably } from "../support/durable-file.ts";
import { during } from "../support/errors.ts";
import { bootId } from "../sys/boot-clock.ts";
import { Poller } from "../sys/poller.ts";
import { LeaseBook } from "./book.ts";
import { DaemonServer } from "./server.ts";
import type { DaemonProcess, DaemonSettings } from "./settings.ts";

/**
 * Leases addresses for containers and keeps them until it is told to stop; leases stay then, for the next daemon to go on with.
 * @throws Error when it cannot listen, or cannot receive any more
 */
export async function runDaemon(settings: DaemonSettings, { pid, stopped, log }: DaemonProcess): Promise<void> {
  const { pidFile, listenFd, socketPath, timing } = settings;
  let crash = (_error: Error): void => {};
  const crashed = new Promise<never>((_, reject) => (crash = reject));
  crashed.catch(() => {}); // told below
  const poller = new Poller(crash);
  const book = new LeaseBook({ settings, poller, bootId: bootId(), log });
  const server = new DaemonServer({
    withinMs: timing.resendTimeout + 2000,
    answer: (request, given) => book.answer(request, given),
    log,
  });
  let kept = 0;
  try {
    // Before anybody can ask; and only by the one who has the socket, should somebody start a second daemon
    if (listenFd === undefined) await server.listen(socketPath);
    book.resume();
    if (listenFd !== undefined) await server.listenOn(listenFd);
    if (pidFile !== undefined) {
      during(`write "${pidFile}"`, () => writeDurably(pidFile, Buffer.from(String(pid)), { mode: 0o644 }));
    }
    log(`listening on "${socketPath}"; leases of an earlier run: ${book.size}`);
    await Promise.race([stopped, crashed]);
    kept = book.size;
  } finally {
    book.stop();
    await server.close();
    await Promise.race([poller.close(), crashed.catch(() => {})]);
    if (pidFile !== undefined) rmSync(pidFile, { force: true });
  }
  log(`stopped; leases kept for the next daemon: ${kept}`);
}
