import { isObject, type JsonObject, parseObject } from "../cni/json.ts";
import { listLeases } from "../ipam/lease-list.ts";
import type { StoredAttachment } from "../runtime/cache.ts";
import { loadNetworks } from "../runtime/conflist.ts";
import { type Row, rowsOf } from "./attachments.ts";
import type { Command } from "./command.ts";
import { confDirectory, openCache } from "./network.ts";
import type { Shell } from "./shell.ts";
import { formatAge, formatTable, shorten } from "./table.ts";

/** host-local's, unless `ipam.dataDir` says otherwise. */
const defaultDataDirectory = "/var/lib/cni/networks";

/** cnitool's container IDs have 28 characters. */
const CONTAINER_WIDTH = 28;

export const list: Command = {
  name: "list",
  summary: "Show attachments, and leases of addresses, with their container, interface, addresses and age",
  positionals: [],
  options: {
    json: { text: "print a JSON list with everything in full" },
    "data-dir": {
      value: "DIR",
      text: `where host-local's leases lie (${defaultDataDirectory}, and what the networks' configurations say)`,
    },
  },
  notes: "A container in round brackets has a lease and no remembered attachment.",
  run({ texts, switches }, shell) {
    const attachments = openCache(shell).list();
    const directories = new Set([texts["data-dir"] ?? defaultDataDirectory, ...configuredDirectories(shell, attachments)]);
    const rows = rowsOf(attachments, [...directories].flatMap(listLeases));
    shell.out(switches.has("json") ? `${JSON.stringify(rows, null, 4)}\n` : tableOf(rows, Date.now()));
  },
};

/** @param nowMs milliseconds since 1970 */
export function tableOf(rows: readonly Row[], nowMs: number): string {
  const head = ["NETWORK", "CONTAINER", "INTERFACE", "ADDRESSES", "HOST INTERFACE", "AGE"];
  const lines = rows.map((row) => {
    const container = shorten(row.container, CONTAINER_WIDTH);
    return [
      row.network,
      row.attached ? container : `(${container})`,
      row.interface ?? "-",
      row.addresses.join(",") || "-",
      row.hostInterface ?? "-",
      formatAge({ sinceMs: Date.parse(row.since), nowMs }),
    ];
  });
  return formatTable([head, ...lines]);
}

/** `ipam.dataDir` of every plugin, now and as it was at the additions; what cannot be read has none. */
function configuredDirectories(shell: Shell, attachments: readonly StoredAttachment[]): string[] {
  const plugins: JsonObject[] = [];
  try {
    for (const { list: network } of loadNetworks(confDirectory(shell), () => {}))
      plugins.push(...network.plugins.map(({ json }) => json));
  } catch {
    // without configurations there are still leases in the usual place
  }
  for (const { config } of attachments) {
    try {
      const { plugins: added } = parseObject(config, "configuration");
      if (Array.isArray(added)) plugins.push(...added.filter(isObject));
    } catch {
      // cached by somebody who keeps no configuration
    }
  }
  return plugins.flatMap(({ ipam }) =>
    isObject(ipam) && typeof ipam.dataDir === "string" && ipam.dataDir !== "" ? [ipam.dataDir] : [],
  );
}
