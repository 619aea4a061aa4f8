import { becomeHost } from "./namespaces.ts";
import { ipJson, output } from "./node.ts";

/** Whether bridges of this kernel can filter VLANs, asked of the kernel itself. Leaves this process in an empty network namespace. */
export function filtersVlans(): boolean {
  becomeHost();
  try {
    output("ip", "link", "add", "probe0", "type", "bridge", "vlan_filtering", "1");
    return JSON.stringify(ipJson("link", "show", "dev", "probe0")).includes('"vlan_filtering":1');
  } catch {
    return false;
  }
}
