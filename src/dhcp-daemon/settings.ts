import type { Timing } from "../dhcp/client-events.ts";
import type { Poller } from "../sys/poller.ts";

/** How a daemon was started. */
export interface DaemonSettings {
  /** Where it listens; with a socket handed over, what plugins know it by. */
  readonly socketPath: string;
  /** A listening socket that was handed over (systemd's LISTEN_FDS), by descriptor. */
  readonly listenFd: number | undefined;
  /** Put before the path of each network namespace: where the daemon sees the node's root. */
  readonly hostPrefix: string;
  /** Absolute path of a file for the process's number. */
  readonly pidFile: string | undefined;
  /** Ask servers to answer by broadcast. */
  readonly broadcast: boolean;
  readonly timing: Timing;
}

/** What the daemon needs of the process it is. */
export interface DaemonProcess {
  readonly pid: number;
  /** Kept when somebody wants it to stop. */
  readonly stopped: Promise<unknown>;
  /** One line for the journal. */
  log(line: string): void;
}

/** What keepers share. */
export interface KeeperContext {
  readonly settings: DaemonSettings;
  readonly poller: Poller;
  readonly bootId: string;
  log(line: string): void;
  /** A keeper has come to its end: it keeps nothing any more. */
  ended(keeper: object): void;
}
