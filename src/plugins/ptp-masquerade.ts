import { CniError, codes } from "../cni/error.ts";
import type { Attachment, ValidAttachment } from "../cni/plugin.ts";
import { masqueradeChainOf, noticeOfChains } from "../firewall/iptables-leftovers.ts";
import {
  addMasquerade,
  collectMasquerade,
  deleteMasquerade,
  type Masquerading,
  rehearseMasquerade,
} from "../firewall/masquerade.ts";
import { checkMasquerade } from "../firewall/masquerade-check.ts";
import { deleteReferenceRules } from "../firewall/reference-rules.ts";
import { clearRuleset } from "../firewall/ruleset-change.ts";
import { isAmong, podlinkTable } from "../firewall/table.ts";
import type { Prefix } from "../ip/prefix.ts";
import { NetworkNamespace } from "../link/namespace.ts";
import { tableNames, transaction } from "../link/nftables.ts";
import { during, type Failures, reason } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import type { Steps } from "../support/steps.ts";
import type { PtpConfig } from "./ptp-config.ts";

/** An attachment whose packets to the outside leave under the node's address, if its configuration says so. */
interface Masqueraded {
  readonly attachment: Attachment;
  readonly config: PtpConfig;
  /** Of the container, with the lengths of their networks. */
  readonly addresses: readonly Prefix[];
}

/** Masquerades where it is asked for. */
export function masquerade(
  host: NetworkNamespace,
  wanted: Masqueraded,
  undo: { rollback: Rollback; steps: Steps; warn(message: string): void },
): void {
  const { attachment } = wanted;
  const masquerading = masqueradingOf(wanted);
  if (masquerading === undefined) return;
  undo.rollback.defer("clear nf_tables", () => {
    using again = NetworkNamespace.host(undo.steps);
    endMasquerade(again, { attachment, config: wanted.config, warn: undo.warn });
  });
  during(`set up nf_tables for "${attachment.ifname}" of "${attachment.containerId}"`, () =>
    transaction(host, (batch) => addMasquerade(host, batch, masquerading)),
  );
}

/** Ends it by the attachment's names alone, also what the reference made for it; nothing being there is fine. */
export function endMasquerade(
  host: NetworkNamespace,
  { attachment, config, warn }: Pick<Masqueraded, "attachment" | "config"> & { warn(message: string): void },
): void {
  const chains = config.masquerade ? [masqueradeChainOf(attachment)] : [];
  clearRuleset(host, (present) => [
    {
      put(batch) {
        if (isAmong(present, podlinkTable)) deleteMasquerade(host, batch, attachment);
        deleteReferenceRules(host, batch, { attachment, present });
      },
    },
    noticeOfChains(host, { chains, present, warn }),
  ]);
}

/** Ends it for attachments of the network that are not valid any more. */
export function collectStaleMasquerade(network: string, options: { valid: readonly ValidAttachment[]; steps: Steps }): void {
  using host = NetworkNamespace.host(options.steps);
  if (!isAmong(tableNames(host), podlinkTable)) return;
  transaction(host, (batch) => collectMasquerade(host, batch, { network, valid: options.valid }));
}

/** Compares it with what is there; every difference is kept in `failures`. */
export function verifyMasquerade(host: NetworkNamespace, failures: Failures, wanted: Masqueraded): void {
  const masquerading = masqueradingOf(wanted);
  if (masquerading !== undefined) checkMasquerade(host, failures, masquerading);
}

/** @throws CniError 50 when this kernel cannot masquerade though the configuration asks for it */
export function requireMasquerade(host: NetworkNamespace, config: PtpConfig): void {
  try {
    if (config.masquerade) rehearseMasquerade(host);
  } catch (error) {
    throw new CniError(codes.unavailable, `Cannot do what "ipMasq" asks for: ${reason(error)}`, {
      details: `leave out "ipMasq", or use a kernel that has it`,
      cause: error,
    });
  }
}

function masqueradingOf({ attachment, config, addresses }: Masqueraded): Masquerading | undefined {
  if (!config.masquerade || addresses.length === 0) return undefined;
  return { attachment, addresses, except: config.notMasqueraded };
}
