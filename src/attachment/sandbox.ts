import { CniError, codes } from "../cni/error.ts";
import { Sandbox } from "../link/namespace.ts";
import type { Steps } from "../support/steps.ts";
import { NetnsGoneError } from "../sys/netns.ts";

/** The host's and the container's namespace. @throws CniError 8 when CNI_NETNS does not lead to a network namespace */
export function openSandbox(netns: string, steps: Steps): Sandbox {
  try {
    return Sandbox.open(netns, steps);
  } catch (error) {
    if (!(error instanceof NetnsGoneError)) throw error;
    throw new CniError(codes.invalidNetns, error.message, {
      details: "CNI_NETNS names it; the container may have ended already",
      cause: error,
    });
  }
}
