import { resolve as resolvePath } from "node:path";
import { CniError, codes } from "../cni/error.ts";
import { type AddCall, type Call, type DelCall, definePlugin } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { type DaemonRequest, optionsToJson } from "../dhcp/protocol.ts";
import { Prefix } from "../ip/prefix.ts";
import {
  listRecords,
  ownerOfRecord,
  type RecordOwner,
  recordKey,
  releaseRequestPath,
  requestRelease,
} from "../ipam/dhcp-records.ts";
import { during, Failures, reason } from "../support/errors.ts";
import { shellWord } from "../support/shell-word.ts";
import { isNetns } from "../sys/netns.ts";
import { type DhcpConfig, type Keys, resolve, schema } from "./dhcp-config.ts";
import { askDaemon, DaemonAwayError, readLease } from "./dhcp-daemon-call.ts";

/** Addresses from a DHCP server: `podlink dhcp daemon` leases and keeps them, this asks it to. */
export const dhcp = definePlugin<Keys, DhcpConfig>({
  type: "dhcp",
  ipam: true,
  commands: ["daemon"],
  schema,
  resolve,

  add(call, rollback): Result {
    const { attachment, netns, config } = call;
    const { request, provide, priority } = config;
    if (!isNetns(netns)) {
      const details = "CNI_NETNS names it; the container may have ended already";
      throw new CniError(codes.invalidNetns, `Cannot lease an address: "${netns}" is no network namespace`, { details });
    }
    // Deferred before: an ADD that ends without an answer may have its lease a moment later
    rollback.defer(`release the lease of ${name(attachment)}`, () => release(call, attachment));
    const answer = change(call, {
      call: "allocate",
      attachment,
      netns: resolvePath(netns),
      request,
      provide: optionsToJson(provide),
      ...(priority === undefined ? {} : { priority }),
    });
    return readLease(answer);
  },

  check(call) {
    const { attachment, config, prevResult } = call;
    during(`find the lease of ${name(attachment)}`, () => {
      const { ips = [] } = readLease(askDaemon(config.socketPath, { call: "check", attachment }));
      const there = (prevResult.ips ?? []).map(({ address }) => address);
      const found = there.flatMap((text) => Prefix.tryParse(text) ?? []);
      for (const { address } of ips) {
        if (found.some((prefix) => prefix.equals(Prefix.parse(address)))) continue;
        throw new Error(`the server leased ${address}, prevResult has ${there.join(", ") || "no address"}`);
      }
    });
  },

  del(call) {
    release(call, call.attachment);
  },

  gc(call) {
    const { network } = call;
    const valid = call.valid.map(({ containerId, ifname }) => ({ containerId, ifname }));
    try {
      change(call, { call: "collect", network, valid });
    } catch (error) {
      if (!(error instanceof DaemonAwayError)) throw error;
      const isValid = (owner: RecordOwner) =>
        valid.some(({ containerId, ifname }) => containerId === owner.containerId && ifname === owner.ifname);
      const owners = listRecords().flatMap(({ content }) => ownerOfRecord(content) ?? []);
      const stale = owners.filter((owner) => owner.network === network && !isValid(owner));
      const failures = new Failures();
      for (const owner of stale) {
        failures.attempt(`leave word about the lease of ${name(owner)}`, () => leaveWord(call, { owner, error }));
      }
      failures.throwAny();
    }
  },

  status({ config }) {
    try {
      askDaemon(config.socketPath, { call: "status" });
    } catch (error) {
      if (!(error instanceof DaemonAwayError)) throw error;
      // Whoever has an address loses it when its time is up
      const details = [...(error.details === undefined ? [] : [error.details]), "until then no lease is renewed"].join("; ");
      throw new CniError(codes.limitedConnectivity, error.message, { details, cause: error });
    }
  },
});

/** Without the daemon it is told later: the attachment is gone either way, and a DEL that fails would come again and again. */
function release(call: AddCall<DhcpConfig> | DelCall<DhcpConfig>, attachment: RecordOwner): void {
  try {
    change(call, { call: "release", attachment });
  } catch (error) {
    if (!(error instanceof DaemonAwayError)) throw error;
    leaveWord(call, { owner: attachment, error });
  }
}

function leaveWord(call: Call<DhcpConfig>, { owner, error }: { owner: RecordOwner; error: unknown }): void {
  const path = releaseRequestPath(recordKey(owner));
  if (path === undefined) return; // there is nothing to give back
  call.steps.run(`touch ${shellWord(path)}`, () => requestRelease(path));
  call.warn(`the lease of ${name(owner)} is given back when the daemon is there again: ${reason(error)}`);
}

/** Asks for something that changes leases, and so is a step: the command says the same to the daemon. */
function change(call: Call<DhcpConfig>, request: DaemonRequest): unknown {
  const { socketPath } = call.config;
  const command = `podlink dhcp call --socket-path ${shellWord(socketPath)} ${shellWord(JSON.stringify(request))}`;
  return call.steps.run(command, () => askDaemon(socketPath, request));
}

function name({ containerId, ifname }: Pick<RecordOwner, "containerId" | "ifname">): string {
  return `"${containerId}"/"${ifname}"`;
}
