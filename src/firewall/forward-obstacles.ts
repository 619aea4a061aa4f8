import type { NetworkNamespace } from "../link/namespace.ts";
import { asExpression, type Expression } from "../netlink/netfilter/expression.ts";
import type { Table } from "../netlink/netfilter/table.ts";
import { shellWord } from "../support/shell-word.ts";
import { readLegacyForward } from "../sys/x-tables.ts";

/** Something that keeps traffic from being forwarded and is not for podlink to open. */
export interface ForwardObstacle {
  /** Which chain, and what it does. */
  readonly chain: string;
  /** What opens it, as a person types it. */
  readonly command: string;
}

const firewalld: Table = { family: "inet", name: "firewalld" };

/** What is in the way of a link's traffic, as far as it can be seen. @param link a bridge, or a pattern `plk3d9x*` */
export function forwardObstacles(
  host: NetworkNamespace,
  { families, link }: { families: readonly (4 | 6)[]; link: string },
): ForwardObstacle[] {
  const legacy = families.flatMap((family) => legacyObstacle(host, { family, link }) ?? []);
  return isRejectedByFirewalld(host, link) ? [...legacy, firewalldObstacle(link)] : legacy;
}

function legacyObstacle(host: NetworkNamespace, { family, link }: { family: 4 | 6; link: string }): ForwardObstacle | undefined {
  const pattern = link.replace(/\*$/, "+");
  const forward = host.inside(() => readLegacyForward(family));
  if (forward?.drops !== true || forward.accepts.includes(pattern)) return undefined;
  const tool = family === 4 ? "iptables-legacy" : "ip6tables-legacy";
  const name = shellWord(pattern);
  return {
    chain: `chain FORWARD of ${tool} drops by policy`,
    command: `${tool} -I FORWARD -o ${name} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT && ${tool} -I FORWARD -i ${name} -j ACCEPT`,
  };
}

/** It rejects, at the end of its chain, what goes between links that are in none of its zones; a link in a zone stands in a rule. */
function isRejectedByFirewalld(host: NetworkNamespace, link: string): boolean {
  if (!host.nftables.tables(firewalld.family).some(({ name }) => name === firewalld.name)) return false;
  return !host.nftables.rules(firewalld).some(({ expressions }) => expressions.some((each) => comparesWith(each, link)));
}

function comparesWith(expression: Expression, link: string): boolean {
  const value = asExpression(expression, "cmp")?.data?.value;
  return value !== undefined && Buffer.from(value).toString("utf8").replace(/\0.*$/s, "") === link.replace(/\*$/, "");
}

function firewalldObstacle(link: string): ForwardObstacle {
  const name = shellWord(link.replace(/\*$/, "+"));
  return {
    chain: 'chain "filter_FORWARD" of table "inet firewalld" rejects what is in none of its zones',
    command: `firewall-cmd --permanent --zone=trusted --add-interface=${name} && firewall-cmd --reload`,
  };
}
