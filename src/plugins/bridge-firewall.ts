import { CniError, codes } from "../cni/error.ts";
import type { AddCall, Attachment, CheckCall, ValidAttachment } from "../cni/plugin.ts";
import {
  addMasquerade,
  checkMasquerade,
  collectMasquerade,
  deleteMasquerade,
  type Masquerading,
  rehearseMasquerade,
} from "../firewall/masquerade.ts";
import { deleteReferenceRules } from "../firewall/reference-rules.ts";
import {
  addSpoofCheck,
  checkSpoofCheck,
  collectSpoofChecks,
  deleteSpoofCheck,
  rehearseSpoofCheck,
} from "../firewall/spoof-check.ts";
import { isAmong, podlinkBridgeTable, podlinkTable } from "../firewall/table.ts";
import type { Prefix } from "../ip/prefix.ts";
import { NetworkNamespace } from "../link/namespace.ts";
import { tableNames, transaction } from "../link/nftables.ts";
import { during, type Failures, reason } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import type { Steps } from "../support/steps.ts";
import type { BridgeConfig } from "./bridge-config.ts";

/** What an attachment of type bridge has in nf_tables. */
interface Protected {
  readonly attachment: Attachment;
  readonly config: BridgeConfig;
  /** Of the container, with the lengths of their networks. */
  readonly addresses: readonly Prefix[];
  /** Of the container's interface. */
  readonly mac: string;
}

/** Masquerading and the MAC check, where they are asked for, in one transaction. */
export function addFirewall(
  host: NetworkNamespace,
  call: AddCall<BridgeConfig>,
  parts: { addresses: readonly Prefix[]; mac: string; rollback: Rollback },
): void {
  const { attachment, config, steps } = call;
  const wanted = { attachment, config, addresses: parts.addresses, mac: parts.mac };
  const { masquerading, spoofing } = partsOf(wanted);
  if (masquerading === undefined && spoofing === undefined) return;
  during(`set up nf_tables for "${attachment.ifname}" of "${attachment.containerId}"`, () =>
    transaction(host, (batch) => {
      if (masquerading !== undefined) addMasquerade(host, batch, masquerading);
      if (spoofing !== undefined) addSpoofCheck(host, batch, spoofing);
    }),
  );
  parts.rollback.defer("clear nf_tables", () => {
    using again = NetworkNamespace.host(steps);
    removeFirewall(again, attachment);
  });
}

/** Removes it by the attachment's names alone, and what the reference made for it; nothing being there is fine. */
export function removeFirewall(host: NetworkNamespace, attachment: Attachment): void {
  const present = tableNames(host);
  if (present.size === 0) return;
  transaction(host, (batch) => {
    if (isAmong(present, podlinkTable)) deleteMasquerade(host, batch, attachment);
    if (isAmong(present, podlinkBridgeTable)) deleteSpoofCheck(host, batch, attachment);
    deleteReferenceRules(host, batch, { attachment, present });
  });
}

/** Removes what belongs to attachments of the network that are not valid any more. */
export function collectFirewall(network: string, options: { valid: readonly ValidAttachment[]; steps: Steps }): void {
  using host = NetworkNamespace.host(options.steps);
  const stale = { network, valid: options.valid };
  const present = tableNames(host);
  transaction(host, (batch) => {
    if (isAmong(present, podlinkTable)) collectMasquerade(host, batch, stale);
    if (isAmong(present, podlinkBridgeTable)) collectSpoofChecks(host, batch, stale);
  });
}

/** Compares it with what is there; every difference is kept in `failures`. */
export function checkFirewall(
  host: NetworkNamespace,
  call: CheckCall<BridgeConfig>,
  parts: { addresses: readonly Prefix[]; mac: string; failures: Failures },
): void {
  const { attachment, config } = call;
  const { masquerading, spoofing } = partsOf({ attachment, config, addresses: parts.addresses, mac: parts.mac });
  if (masquerading !== undefined) checkMasquerade(host, parts.failures, masquerading);
  if (spoofing !== undefined) checkSpoofCheck(host, parts.failures, spoofing);
}

/** @throws CniError 50 when this kernel cannot do what the configuration asks for */
export function requireFirewall(host: NetworkNamespace, config: BridgeConfig): void {
  requireKernel("ipMasq", () => config.masquerade && rehearseMasquerade(host));
  requireKernel("macspoofchk", () => config.spoofCheck && rehearseSpoofCheck(host));
}

function requireKernel(key: string, rehearse: () => void): void {
  try {
    rehearse();
  } catch (error) {
    throw new CniError(codes.unavailable, `Cannot do what "${key}" asks for: ${reason(error)}`, {
      details: `leave out "${key}", or use a kernel that has it`,
      cause: error,
    });
  }
}

function partsOf({ attachment, config, addresses, mac }: Protected): {
  masquerading: Masquerading | undefined;
  spoofing: { attachment: Attachment; mac: string } | undefined;
} {
  const masquerading = config.masquerade && addresses.length > 0;
  return {
    masquerading: masquerading ? { attachment, addresses, except: config.notMasqueraded } : undefined,
    spoofing: config.spoofCheck ? { attachment, mac } : undefined,
  };
}
