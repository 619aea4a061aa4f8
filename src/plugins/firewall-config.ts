import { type InferOutput, object, optional, string } from "valibot";
import { CniError, codes, excerpt, unsupported } from "../cni/error.ts";
import type { ConfigContext } from "../cni/plugin.ts";
import type { IngressPolicy } from "../firewall/ingress-policy.ts";

/** The keys of type `firewall`, as the reference has them. */
export function firewallSchema() {
  return object({
    backend: optional(string()),
    iptablesAdminChainName: optional(string()),
    firewalldZone: optional(string()),
    ingressPolicy: optional(string()),
  });
}

type FirewallKeys = InferOutput<ReturnType<typeof firewallSchema>>;

/** What the verbs of type `firewall` work with. */
export interface FirewallConfig {
  /** Undefined: containers are reached from everywhere. */
  readonly policy: IngressPolicy | undefined;
  /** A way is made through other people's chains that drop what is forwarded. */
  readonly forward: boolean;
}

/** @throws CniError 2 on what only other backends can do, 7 on values that do not exist, unless it is to clear away */
export function resolveFirewall(keys: FirewallKeys, { command }: Pick<ConfigContext, "command">): FirewallConfig {
  // What an ADD by the reference left, or one that was refused here, must still go away
  if (command === "DEL" || command === "GC") return { policy: undefined, forward: true };
  requireBackend(keys.backend ?? "");
  if (isSet(keys.iptablesAdminChainName)) {
    throw unsupported(
      "iptablesAdminChainName",
      keys.iptablesAdminChainName,
      "it names a chain of iptables, and rules are made by nf_tables: for rules that go before podlink's, make a table of your own with a chain on the forward hook; what it drops is dropped, whatever others accept",
    );
  }
  if (isSet(keys.firewalldZone)) {
    throw unsupported(
      "firewalldZone",
      keys.firewalldZone,
      'it is for the backend firewalld: leave the key out, and put the bridge into the zone by "firewall-cmd --permanent --zone=ZONE --add-interface=BRIDGE"',
    );
  }
  return { policy: ingressPolicy(keys.ingressPolicy ?? ""), forward: true };
}

function requireBackend(backend: string): void {
  if (backend === "" || backend === "iptables") return; // both are served by nf_tables
  if (backend === "firewalld") {
    throw unsupported(
      "backend",
      backend,
      'podlink does not talk to firewalld, which forgets what it was told at every reload: leave the key out, and put the bridge into a zone by "firewall-cmd --permanent --zone=trusted --add-interface=BRIDGE"',
    );
  }
  throw invalid(`"backend" is ${excerpt(backend)}`, 'leave it out, or choose "iptables"; nf_tables serves both');
}

function ingressPolicy(policy: string): IngressPolicy | undefined {
  if (policy === "" || policy === "open") return undefined;
  if (policy === "same-bridge" || policy === "isolated") return policy;
  throw invalid(`unknown ingress policy: ${excerpt(policy)}`, '"ingressPolicy" is "open", "same-bridge" or "isolated"');
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== "";
}

function invalid(why: string, details: string): CniError {
  return new CniError(codes.invalidConfig, `Cannot use network configuration: ${why}`, { details });
}
