import { CniError, codes } from "../cni/error.ts";
import type { Attachment, CheckCall, ValidAttachment } from "../cni/plugin.ts";
import {
  addMasquerade,
  collectMasquerade,
  deleteMasquerade,
  type Masquerading,
  rehearseMasquerade,
} from "../firewall/masquerade.ts";
import { checkMasquerade } from "../firewall/masquerade-check.ts";
import { deleteReferenceRules } from "../firewall/reference-rules.ts";
import type { RulesetChange } from "../firewall/ruleset-change.ts";
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
import { type Failures, reason } from "../support/errors.ts";
import type { Steps } from "../support/steps.ts";
import type { BridgeConfig } from "./bridge-config.ts";

/** What an attachment of type bridge has in nf_tables. */
export interface Protected {
  readonly attachment: Attachment;
  readonly config: BridgeConfig;
  /** Of the container, with the lengths of their networks. */
  readonly addresses: readonly Prefix[];
  /** Of the container's interface. */
  readonly mac: string;
}

/** Masquerading and the MAC check, where they are asked for. */
export function protecting(host: NetworkNamespace, wanted: Protected): RulesetChange[] {
  const { masquerading, spoofing } = partsOf(wanted);
  const changes: RulesetChange[] = [];
  if (masquerading !== undefined) changes.push({ put: (batch) => addMasquerade(host, batch, masquerading) });
  if (spoofing !== undefined) changes.push({ put: (batch) => addSpoofCheck(host, batch, spoofing) });
  return changes;
}

/**
 * Removes it by the attachment's names alone, and what the reference made for it; nothing being there is fine.
 * @param options.present names of the tables there are
 */
export function unprotecting(
  host: NetworkNamespace,
  { attachment, present }: { attachment: Attachment; present: ReadonlySet<string> },
): RulesetChange {
  return {
    put(batch) {
      if (isAmong(present, podlinkTable)) deleteMasquerade(host, batch, attachment);
      if (isAmong(present, podlinkBridgeTable)) deleteSpoofCheck(host, batch, attachment);
      deleteReferenceRules(host, batch, { attachment, present });
    },
  };
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
