import { describeElement } from "../../src/netlink/netfilter/element.ts";
import { Nftables } from "../../src/netlink/netfilter/nftables.ts";
import { formatExpressions } from "../../src/netlink/netfilter/rule.ts";
import { setText } from "../../src/netlink/netfilter/set.ts";
import { tableText } from "../../src/netlink/netfilter/table.ts";

/** Every rule and every element of nf_tables in the namespace this thread stands in, a line each, ready to be compared. */
export function nftablesState(): string[] {
  using nftables = Nftables.open();
  return nftables.tables().flatMap((table) => {
    const rules = nftables
      .rules(table)
      .map((rule) => `${tableText(table)} ${rule.chain}: ${formatExpressions(rule.expressions)}`);
    const named = nftables.sets(table).filter(({ name }) => !name.startsWith("__set"));
    const elements = named.flatMap((set) => {
      const { key } = set;
      if (key === undefined) return [setText(set)];
      const known = { ...set, key };
      return (nftables.elements(known) ?? []).map((element) => `${setText(set)}: ${describeElement(known, element)}`);
    });
    return [...rules, ...elements.sort()];
  });
}
