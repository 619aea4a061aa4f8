import { files, nodeSnapshot, output, type Sandbox } from "../node.ts";
import { EARLY_CLIENT } from "./connections.ts";

// Everything a call can have changed, a line each, without what is random or another number each time.

/** One shell for all of it: this process is large, and to fork it takes longer than what the programs do. */
const show = (what: string) => output("sh", "-c", `${what}; tc qdisc show; cd /proc/sys/net; grep -rs . ${sysctls}; true`);

/** Where sysctls are that a plugin may set; neighbour tables and counters are the kernel's. */
const sysctls = "core ipv4/conf ipv4/ip_* ipv4/tcp_* ipv4/icmp* ipv4/ping* ipv6/conf ipv6/bindv6only";

/** The node: links, addresses, routes, rules, neighbours, leases, nf_tables, qdiscs, connections, sysctls, files. */
export function nodeState(): string[] {
  const lines = [
    ...JSON.stringify(nodeSnapshot(), undefined, 1).split("\n"),
    ...show(`conntrack -L 2>/dev/null | grep dport= | grep -v sport=${EARLY_CLIENT}`).split("\n").sort(),
    ...["/var/lib", "/run"].flatMap(files).filter((path) => !path.startsWith("/run/podlink-test-")),
  ];
  return lines.map(steady).filter(Boolean);
}

/** A container's links, addresses, routes, rules, qdiscs and sysctls. */
export function containerState(sandbox: Sandbox): string[] {
  return [
    ...sandbox.snapshot(),
    ...sandbox
      .run(() => show("true"))
      .split("\n")
      .sort(),
  ]
    .map(steady)
    .filter(Boolean);
}

/** What is in one of two states and not in the other. */
export function changes(wanted: readonly string[], found: readonly string[]): string[] {
  return [...without(found, wanted).map((line) => `+ ${line}`), ...without(wanted, found).map((line) => `- ${line}`)];
}

/** Lines of one list that the other has not, or not as often. */
function without(one: readonly string[], other: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const line of other) counts.set(line, (counts.get(line) ?? 0) + 1);
  return one.filter((line) => {
    const left = counts.get(line) ?? 0;
    counts.set(line, left - 1);
    return left <= 0;
  });
}

function steady(line: string): string {
  if (line.startsWith("qdisc noqueue 0: dev lo ")) return ""; // lo keeps what it was given when it was up
  return line
    .replaceAll(/\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b/g, "<mac>")
    .replaceAll(/\\?"(if_?index|link_index|link_netnsid|no|port_no|port_id|root_id|bridge_id|designated_\w+)\\?":[^,}]*,?/g, "")
    .replace(/ refcnt \d+/, "")
    .replace(/^(udp +17) \d+ /, "$1 ")
    .trim();
}
