import { Client } from "../dhcp/client.ts";
import type { Lease } from "../dhcp/lease.ts";
import { clientIdOf } from "../dhcp/options.ts";
import { type AllocateRequest, optionsFromJson } from "../dhcp/protocol.ts";
import { parseMac } from "../ip/mac.ts";
import type { DaemonSettings } from "./settings.ts";

/** The client for what was asked for. @param options.previous a lease of an earlier run, to go on with */
export function makeClient(
  { attachment, request, provide }: AllocateRequest,
  options: { mac: string; settings: DaemonSettings; previous: Lease | undefined },
): Client {
  const { mac, settings, previous } = options;
  return new Client({
    mac: parseMac(mac),
    clientId: clientIdOf(attachment),
    request,
    provide: optionsFromJson(provide),
    random: Math.random,
    broadcast: settings.broadcast,
    timing: settings.timing,
    ...(previous === undefined ? {} : { previous }),
  });
}
