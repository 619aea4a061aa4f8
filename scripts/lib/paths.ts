import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's directory, without a slash at its end. */
export const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");

/** What is built for others; `dist/cni` is unpacked into a bin directory as it is. */
export const dist = join(root, "dist");

/** What only makes the next build quicker; can be removed at any time. */
export const cache = join(root, ".cache");
