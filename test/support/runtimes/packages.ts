import { existsSync } from "node:fs";
import { join } from "node:path";
import { cache } from "../../../scripts/lib/paths.ts";

/** Container runtimes, with the packages of Debian that make each of them run, as `<package>/<suite>`. Nothing of them is installed. */
export const runtimePackages = {
  // libc of later releases is newer than what stable's programs find: their runc would not start there
  "containerd of bookworm": ["containerd/bookworm", "runc/bookworm", "libseccomp2/bookworm"],
  "containerd of trixie": ["containerd/trixie", "runc/bookworm", "libseccomp2/bookworm"],
  "containerd of sid": ["containerd/sid", "runc/bookworm", "libseccomp2/bookworm"],
  // the last release of Debian whose podman can be told to use CNI
  "podman of bookworm": [
    ...["podman/bookworm", "conmon/bookworm", "runc/bookworm", "libseccomp2/bookworm", "libdevmapper1.02.1/bookworm"],
    ...["libgpgme11/bookworm", "libassuan0/bookworm", "libsubid4/bookworm", "libsemanage2/bookworm", "libsepol2/bookworm"],
    ...["libglib2.0-0/bookworm"],
  ],
  busybox: ["busybox-static/bookworm"],
} as const;

export type Runtime = keyof typeof runtimePackages;

export const runtimes = Object.keys(runtimePackages) as Runtime[];

/** Where its packages are unpacked to, whether or not they could be had. */
export function runtimeDirectory(runtime: Runtime): string {
  return join(cache, "runtimes", runtime.replaceAll(" ", "-"));
}

/** Directories of its programs, for PATH. */
export function runtimePath(runtime: Runtime): string {
  return ["usr/sbin", "usr/bin"].map((directory) => join(runtimeDirectory(runtime), directory)).join(":");
}

/** Those that could not be had. */
export function missingRuntimes(...wanted: readonly Runtime[]): Runtime[] {
  return wanted.filter((runtime) => !existsSync(runtimeDirectory(runtime)));
}
