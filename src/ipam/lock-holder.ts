import { readFileSync, statSync } from "node:fs";

/**
 * The process that holds a flock(2) on `path`, as `process 4711 ("host-local")`: /proc/locks names the inode and the process.
 * Undefined when it cannot be told: the lock is free by now, or its holder lives in another PID namespace.
 */
export function lockHolder(path: string): string | undefined {
  try {
    const { ino } = statSync(path);
    for (const line of readFileSync("/proc/locks", "utf8").split("\n")) {
      // proc_locks(5): "1: FLOCK ADVISORY WRITE 4711 fe:00:1234 0 EOF"; those who wait have "->" behind the number. The device is
      // not compared: on overlay and btrfs it differs from stat's.
      const pid = /^\d+: FLOCK +\S+ +\S+ +(\d+) +[0-9a-f]+:[0-9a-f]+:(\d+) /.exec(line);
      if (pid?.[2] === String(ino) && pid[1] !== "0") return `process ${pid[1]}${commandOf(pid[1] ?? "")}`;
    }
  } catch {
    // the caller's error says enough without the holder
  }
  return undefined;
}

function commandOf(pid: string): string {
  try {
    return ` ("${readFileSync(`/proc/${pid}/comm`, "utf8").trim()}")`;
  } catch {
    return ""; // it has ended meanwhile
  }
}
