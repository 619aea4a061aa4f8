import type { Prefix } from "../ip/prefix.ts";
import { RTMGRP } from "../netlink/route/message-types.ts";
import { addAddress, listAddresses } from "./addresses.ts";
import { setUp } from "./links.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { addRoute, type LinkRoute } from "./routes.ts";
import { preferSysctls, writeSysctls } from "./sysctl.ts";
import { waitFor } from "./wait.ts";

/** Duplicate address detection takes 1 to 2 s with the kernel's defaults. */
const DAD_TIMEOUT_MS = 5000;

/** What a container's interface is given. */
export interface LinkConfiguration {
  readonly addresses: readonly Prefix[];
  readonly routes: readonly LinkRoute[];
  /** Wait until IPv6 duplicate address detection has finished, instead of doing without it. */
  readonly detectDuplicates: boolean;
  /** The kernel is not to tell the link's neighbours of its addresses, neither now nor when announce() asks it to. */
  readonly unannounced?: boolean;
  /** Unless false, the kernel adds a route for the network of each address. */
  readonly prefixRoutes?: boolean;
}

/** Addresses, up, routes: in the order in which each finds what it needs. */
export function configureLink(
  container: NetworkNamespace,
  link: { readonly name: string; readonly index: number },
  wish: LinkConfiguration,
): void {
  const { addresses, detectDuplicates, unannounced = false, prefixRoutes = true } = wish;
  const sixes = addresses.filter((prefix) => prefix.family === 6);
  prepareSysctls(container, link.name, { ipv6: sixes.length > 0, detectDuplicates, unannounced });
  for (const prefix of addresses) addAddress(container, link, { prefix, detectDuplicates, prefixRoute: prefixRoutes });
  setUp(container, link);
  if (detectDuplicates && sixes.length > 0) waitForDetection(container, link);
  for (const route of wish.routes) addRoute(container, link, route);
}

function prepareSysctls(
  container: NetworkNamespace,
  name: string,
  options: { ipv6: boolean; detectDuplicates: boolean; unannounced: boolean },
): void {
  const six = `net/ipv6/conf/${name}`;
  preferSysctls(container, {
    ...(options.unannounced ? {} : { [`net/ipv4/conf/${name}/arp_notify`]: "1", [`${six}/ndisc_notify`]: "1" }),
    [`${six}/accept_dad`]: options.detectDuplicates ? "1" : "0", // also of use to the link-local address, which each link has
  });
  if (!options.ipv6) return;
  const missing = writeSysctls(container, {
    "net/ipv6/conf/lo/disable_ipv6": "0",
    [`${six}/disable_ipv6`]: "0",
    [`${six}/keep_addr_on_down`]: "1",
  });
  if (missing.includes(`${six}/disable_ipv6`)) {
    throw new Error(
      `Cannot give "${name}" an IPv6 address: this kernel runs without IPv6 (is ipv6.disable=1 on its command line?)`,
    );
  }
}

function waitForDetection(container: NetworkNamespace, link: { readonly name: string; readonly index: number }): void {
  const settled = waitFor(container, {
    groups: RTMGRP.IPV6_IFADDR,
    timeoutMs: DAD_TIMEOUT_MS,
    look() {
      const addresses = listAddresses(container, link, 6);
      return addresses.some((address) => address.duplicate) || addresses.every((address) => !address.tentative)
        ? addresses
        : undefined;
    },
  });
  const duplicate = settled?.find((address) => address.duplicate);
  if (duplicate !== undefined)
    throw new Error(`Cannot use ${duplicate.prefix} on "${link.name}": another node has this address (DAD failed)`);
  if (settled === undefined) {
    throw new Error(
      `Cannot use the IPv6 addresses of "${link.name}": duplicate address detection has not finished in ${DAD_TIMEOUT_MS} ms`,
    );
  }
}
