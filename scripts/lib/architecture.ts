/** One architecture podlink is built for, by the names that its four worlds have for it. */
export interface Architecture {
  /** Debian's (and Go's, and the container world's): in the archive's name. */
  readonly name: "amd64" | "arm64";
  /** Node's: process.arch, and the npm package with that Node. */
  readonly node: "x64" | "arm64";
  /** GNU's: where Debian puts the libraries, and in the names of its tools. */
  readonly triplet: string;
  /** The emulator that runs it elsewhere, from Debian's qemu-user-static; scripts/install-packages looks for the first. */
  readonly emulator: string;
}

export const architectures: readonly Architecture[] = [
  { name: "amd64", node: "x64", triplet: "x86_64-linux-gnu", emulator: "qemu-x86_64-static" },
  { name: "arm64", node: "arm64", triplet: "aarch64-linux-gnu", emulator: "qemu-aarch64-static" },
];

/** Whether this machine runs it without an emulator. */
export function isNative(architecture: Architecture): boolean {
  return architecture.node === process.arch;
}
