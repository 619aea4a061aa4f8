import { createInside } from "./inside.ts";
import type { Sandbox } from "./namespace.ts";

/** Creates a link of kind dummy in the container: it has addresses, and drops all that is sent through it. @throws as createInside */
export function createDummy(sandbox: Sandbox, name: string): void {
  createInside(sandbox, { name, mtu: 0 }, { kind: "dummy", words: "dummy" });
}
