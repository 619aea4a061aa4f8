import { BITS } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import type { Failures } from "../support/errors.ts";
import { anywhere, listAllAddresses } from "./addresses.ts";
import { type KernelRoute, listKernelRoutes } from "./kernel-routes.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { listRules, type Rule } from "./rules.ts";
import type { Source, SourceRouting } from "./source-routing.ts";

/**
 * Every address of the wish has its rule, and in the table that the rule leads to there are the default route and the one to the
 * address's own network. It does not matter who made them, nor what else is there.
 */
export function verifySourceRouting(
  container: NetworkNamespace,
  link: { readonly name: string; readonly index: number },
  { wish, failures }: { wish: SourceRouting; failures: Failures },
): void {
  const rules = listRules(container);
  const routes = listKernelRoutes(container).filter(({ outIndex }) => outIndex === link.index);
  const connected = listAllAddresses(container).filter((address) => address.link === link.index && address.prefixRoute);
  for (const source of wish.sources) {
    const { address } = source.prefix;
    const own = rules.filter((rule) => rule.plain && rule.source.equals(Prefix.host(address)));
    const tables = wish.table === undefined ? own.map(({ table }) => table) : [wish.table];
    failures.attempt(`find the rule for packets from ${address}`, () => expectRule(own, wish.table));
    if (wish.table !== undefined || own.length === 0) continue;
    const present = routes.filter((route) => tables.includes(route.table) && route.dst.family === address.family);
    const hasNetwork =
      source.prefix.length < BITS[address.family] && connected.some(({ prefix }) => prefix.equals(source.prefix));
    for (const route of expectedRoutes(source, hasNetwork)) {
      failures.attempt(`find route ${words(route)} in table ${tables.join(" or ")} over "${link.name}"`, () => {
        if (present.some((other) => matches(route, other))) return;
        throw new Error(`it has ${present.length === 0 ? "no route" : present.map(words).join(", ")}`);
      });
    }
  }
}

function expectRule(own: readonly Rule[], table: number | undefined): void {
  const leads = own.map((rule) => rule.table);
  if (own.length === 0) throw new Error("there is none");
  if (table !== undefined && !leads.includes(table)) throw new Error(`it leads to table ${leads.join(", ")}, expected ${table}`);
}

type Expected = Pick<KernelRoute, "dst" | "gateway">;

function expectedRoutes({ prefix, gateway }: Source, hasNetwork: boolean): Expected[] {
  return [
    ...(hasNetwork ? [{ dst: prefix.network(), gateway: undefined }] : []),
    ...(gateway === undefined ? [] : [{ dst: anywhere(prefix.family), gateway }]),
  ];
}

function matches(expected: Expected, { dst, gateway }: KernelRoute): boolean {
  return dst.equals(expected.dst) && (expected.gateway === undefined || gateway?.equals(expected.gateway) === true);
}

function words({ dst, gateway }: Expected): string {
  return `${dst.length === 0 ? "default" : dst}${gateway === undefined ? "" : ` via ${gateway}`}`;
}
