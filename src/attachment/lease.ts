import { CniError, codes } from "../cni/error.ts";
import type { AddCall } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import type { Rollback } from "../support/rollback.ts";

/**
 * Has an IPAM plugin lease the attachment's addresses.
 *
 * An ADD that was killed may have left its lease alone, without any link to tell of it. The first attempt is then refused, and the
 * delegation releases what its owner held; so a refusal that is not the configuration's fault (code 999) is tried once more.
 * @param options.type of the IPAM plugin
 * @throws CniError of the plugin; Error when it gives no address
 */
export function leaseAddresses(call: AddCall<unknown>, options: { type: string; rollback: Rollback }): Result {
  const { type, rollback } = options;
  const result = leaseTwice(call, { type, rollback });
  if ((result.ips ?? []).length > 0) return result;
  throw new Error(`Cannot attach "${call.attachment.ifname}": IPAM plugin "${type}" returned missing IP config`);
}

function leaseTwice(call: AddCall<unknown>, { type, rollback }: { type: string; rollback: Rollback }): Result {
  const delegate = call.delegate(type);
  try {
    return delegate.add(rollback);
  } catch (error) {
    if (!(error instanceof CniError) || error.code !== codes.internal) throw error;
    return delegate.add(rollback);
  }
}
