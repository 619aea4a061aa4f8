import { existsSync } from "node:fs";
import { type Architecture, architectures, isNative } from "../architecture.ts";
import { hasProgram } from "../run.ts";

/** How this machine's architecture is emulated. */
export interface Emulation {
  readonly program: string;
  /** qemu's name of the board. */
  readonly machine: string;
  /** The kernel's name of the board's first serial line. */
  readonly console: string;
}

const emulations: Readonly<Record<Architecture["name"], Emulation>> = {
  amd64: { program: "qemu-system-x86_64", machine: "q35", console: "ttyS0" },
  arm64: { program: "qemu-system-aarch64", machine: "virt", console: "ttyAMA0" },
};

/** qemu's own up to version 7, and the one that came after it. */
const fileServers = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"];

export function emulation(): Emulation {
  return emulations[architecture().name];
}

/** Debian's name of this machine's architecture. */
export function debianName(): string {
  return architecture().name;
}

/** The program that hands this machine's files to a virtual one. */
export function fileServer(): string | undefined {
  return fileServers.find((path) => existsSync(path));
}

/** Debian's static busybox; another one needs libraries. */
export const busybox = "/bin/busybox";

/** Why this machine can boot no other kernel, or undefined when it can. */
export function cannotBoot(): string | undefined {
  if (process.getuid?.() !== 0) return "root is needed";
  if (!architectures.some(isNative)) return `there is no emulation of ${process.arch}`;
  const missing = [
    ...[emulation().program, "depmod", "cpio", "xz", "setpriv"].filter((program) => !hasProgram(program)),
    ...(existsSync(busybox) ? [] : [busybox]),
    ...(fileServer() === undefined ? ["virtiofsd"] : []),
  ];
  return missing.length === 0 ? undefined : `not installed: ${missing.join(", ")}`;
}

function architecture(): Architecture {
  const [native] = architectures.filter(isNative);
  if (native === undefined) throw new Error(`"${process.arch}" is none of ${architectures.map(({ node }) => node).join(", ")}`);
  return native;
}
