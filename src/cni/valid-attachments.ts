import { isObject, type JsonObject } from "./json.ts";
import type { ValidAttachment } from "./plugin.ts";

/** What says which attachments are still there (GC), the key that counts first; libcni sends the older one beside it. */
const keys = ["cni.dev/valid-attachments", "cni.dev/attachments"] as const;

/**
 * Takes the lists of attachments out of a configuration, where every item is spelled just as it should be: they are as long as the node has
 * containers, and to fold and check one item after the other would take longer than all else that a GC does.
 * @returns undefined where anything is otherwise, which the schema then says (config.ts), or takes in another spelling
 */
export function takeAttachments(raw: JsonObject): { rest: JsonObject; valid: readonly ValidAttachment[] } | undefined {
  const rest: JsonObject = {};
  const lists: Partial<Record<string, ValidAttachment[]>> = {};
  for (const [key, value] of Object.entries(raw)) {
    const lower = key.toLowerCase();
    if (!keys.some((known) => known === lower)) {
      rest[key] = value;
      continue;
    }
    const list = key === lower ? plainList(value) : undefined;
    if (list === undefined) return undefined;
    lists[key] = list;
  }
  const valid = lists[keys[0]] ?? lists[keys[1]];
  return valid === undefined ? undefined : { rest, valid };
}

function plainList(value: unknown): ValidAttachment[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const list: ValidAttachment[] = [];
  for (const item of value) {
    if (!isObject(item) || Object.keys(item).length !== 2) return undefined;
    const { containerID, ifname } = item;
    if (typeof containerID !== "string" || typeof ifname !== "string") return undefined;
    list.push({ containerId: containerID, ifname });
  }
  return list;
}
