import { parse } from "valibot";
import { describe, expect, it } from "vitest";
import { CniError } from "../../../src/cni/error.ts";
import { firewallSchema, resolveFirewall } from "../../../src/plugins/firewall-config.ts";

const resolve = (keys: object, command = "ADD") => resolveFirewall(parse(firewallSchema(), keys), { command });

function refusal(keys: object, command = "ADD"): CniError {
  try {
    resolve(keys, command);
  } catch (error) {
    if (error instanceof CniError) return error;
  }
  throw new Error("it was not refused");
}

describe("a firewall's configuration", () => {
  it.each([{}, { backend: "" }, { backend: "iptables" }, { ingressPolicy: "" }, { ingressPolicy: "open" }])(
    "%j is open",
    (keys) => {
      expect(resolve(keys)).toEqual({ policy: undefined, forward: true });
    },
  );

  it.each(["same-bridge", "isolated"])("has policy %s", (ingressPolicy) => {
    expect(resolve({ ingressPolicy, backend: "iptables" })).toEqual({ policy: ingressPolicy, forward: true });
  });

  it.each([
    ["backend", "firewalld", "firewall-cmd"],
    ["firewalldZone", "trusted", "firewall-cmd"],
    ["iptablesAdminChainName", "CNI-ADMIN", "a table of your own"],
  ])("with %s %j is refused by name, with a way out", (key, value, wayOut) => {
    const { code, message, details } = refusal({ [key]: value });
    expect({ code, message }).toEqual({
      code: 2,
      message: `Cannot use network configuration: "${key}" is "${value}": not supported`,
    });
    expect(details).toContain(wayOut);
    expect(resolve(key === "backend" ? {} : { [key]: "" })).toEqual({ policy: undefined, forward: true });
  });

  it.each([
    ["backend", "nftables"],
    ["backend", "IPTABLES"],
    ["ingressPolicy", "closed"],
    ["ingressPolicy", "Isolated"],
  ])("with %s %j is refused", (key, value) => {
    const { code, message } = refusal({ [key]: value });
    expect(code).toBe(7);
    expect(message).toContain(JSON.stringify(value));
  });

  it.each(["DEL", "GC"])("does not keep %s from clearing away", (command) => {
    expect(resolve({ backend: "firewalld", ingressPolicy: "closed", firewalldZone: "trusted" }, command)).toEqual({
      policy: undefined,
      forward: true,
    });
  });

  it.each(["CHECK", "STATUS"])("is refused for %s as for ADD", (command) => {
    expect(refusal({ backend: "firewalld" }, command).code).toBe(2);
  });
});
