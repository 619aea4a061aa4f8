import { object, optional } from "valibot";
import { openSandbox } from "../attachment/sandbox.ts";
import { addressingOf, expectSame, verifyAddresses } from "../attachment/verify.ts";
import { dns } from "../cni/config.ts";
import { type AddCall, type CheckCall, type DelCall, definePlugin } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { Prefix } from "../ip/prefix.ts";
import { listAddresses } from "../link/addresses.ts";
import { getLink, setDown, setUp } from "../link/links.ts";
import { NetworkNamespace } from "../link/namespace.ts";
import { during, Failures } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import type { Steps } from "../support/steps.ts";
import { Netns } from "../sys/netns.ts";

const LOOPBACK = "lo";

function isLoopback(prefix: Prefix): boolean {
  return prefix.family === 4 ? Prefix.parse("127.0.0.0/8").contains(prefix.address) : prefix.address.value === 1n; // ::1
}

/** Brings up `lo` in the container, whatever CNI_IFNAME says: drop-in for the reference's type of that name. */
export const loopback = definePlugin({
  type: "loopback",
  schema: () => object({ dns: optional(dns) }),
  resolve: (keys) => keys,

  add({ netns, prevResult, steps }: AddCall<unknown>, rollback: Rollback): Result {
    using sandbox = openSandbox(netns, steps);
    const { container } = sandbox;
    const link = getLink(container, LOOPBACK);
    if (!link.up) {
      during(`bring up "${LOOPBACK}" in the container`, () => setUp(container, link));
      rollback.defer(`bring down "${LOOPBACK}"`, () => lower(Netns.open(netns), steps));
    }
    const addresses = listAddresses(container, link).map(({ prefix }) => prefix);
    const foreign = addresses.find((prefix) => !isLoopback(prefix));
    if (foreign !== undefined)
      throw new Error(`Cannot use "${LOOPBACK}": loopback interface found with non-loopback address ${foreign}`);
    if (prevResult !== undefined) return prevResult;
    return {
      interfaces: [{ name: LOOPBACK, mac: "00:00:00:00:00:00", sandbox: netns }],
      ips: addresses.map((prefix) => ({ address: String(prefix), interface: 0 })),
    };
  },

  check({ netns, prevResult, steps }: CheckCall<unknown>): void {
    using sandbox = openSandbox(netns, steps);
    const { container } = sandbox;
    const link = getLink(container, LOOPBACK);
    const failures = new Failures();
    failures.attempt(`check "${LOOPBACK}"`, () => expectSame("its state", { expected: "up", actual: link.up ? "up" : "down" }));
    const place = (prevResult.interfaces ?? []).findIndex((each) => each.name === LOOPBACK);
    if (place >= 0) {
      const ips = (prevResult.ips ?? []).filter((ip) => ip.interface === place);
      verifyAddresses(container, link, { plan: addressingOf({ ips }, place), failures });
    }
    failures.throwAny();
  },

  /** Down again, as the reference leaves it; an address on it goes with the namespace. */
  del({ netns, steps }: DelCall<unknown>): void {
    const sandbox = Netns.tryOpen(netns);
    if (sandbox !== undefined) lower(sandbox, steps);
  },

  gc(): void {},
  status(): void {},
});

function lower(sandbox: Netns, steps: Steps): void {
  using container = NetworkNamespace.container(sandbox, steps);
  const link = getLink(container, LOOPBACK);
  if (link.up) setDown(container, link);
}
