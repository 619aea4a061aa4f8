import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Attached, Bench } from "../support/attach.ts";
import { output } from "../support/node.ts";
import { ask, serve } from "../support/talk.ts";

// Services as kube-proxy makes them (an address that exists nowhere, translated to a container's), reached from the same node.

const bench = new Bench();

const network = {
  cniVersion: "1.1.0",
  name: "pods",
  type: "podlink",
  ipam: { type: "host-local", ranges: [[{ subnet: "10.244.1.0/24" }], [{ subnet: "fd00:244:1::/64" }]] },
};

const services = { 4: "10.96.0.10", 6: "fd00:96::10" } as const;

/** What br_netfilter adds to a namespace; a kernel without it has bridges that pass packets on by themselves. */
const NF_CALL = "/proc/sys/net/bridge/bridge-nf-call-iptables";

function translate(family: 4 | 6, target: string): void {
  const table = family === 4 ? "ip" : "ip6";
  const to = family === 4 ? `${target}:8080` : `[${target}]:8080`;
  output(
    "nft",
    `add table ${table} services
     add chain ${table} services prerouting { type nat hook prerouting priority -100; }
     add rule ${table} services prerouting ${table} daddr ${services[family]} tcp dport 80 dnat to ${to}`,
  );
}

function askService(from: Attached, family: 4 | 6): string | undefined {
  return ask((work) => from.sandbox.run(work), { protocol: "tcp", address: services[family], port: 80 });
}

describe.each([
  { filtered: "0", title: "bridges that pass packets on by themselves" },
  { filtered: "1", title: "bridges that show packets to the firewall (br_netfilter)" },
])("with $title", ({ filtered }) => {
  const missing = filtered === "1" && !existsSync(NF_CALL) ? " (needs CONFIG_BRIDGE_NETFILTER)" : "";

  describe.each([4, 6] as const)(`IPv%i${missing}`, (family) => {
    const prepare = (): { server: Attached; client: Attached; own: string } => {
      if (existsSync(NF_CALL)) {
        for (const key of ["iptables", "ip6tables"]) output("sysctl", "-qw", `net.bridge.bridge-nf-call-${key}=${filtered}`);
      }
      const [server, client] = [bench.attach(network), bench.attach(network)];
      const own = family === 4 ? server.v4 : server.v6;
      translate(family, own);
      return { server, client, own };
    };

    it.skipIf(missing !== "")("a Service leads to another container, which sees its client's own address", async () => {
      const { server, client, own } = prepare();
      await serve((work) => server.sandbox.run(work), { protocol: "tcp", address: own, port: 8080, name: "server" });
      expect(askService(client, family)).toBe(`server ${family === 4 ? client.v4 : client.v6}`);
    });

    it.skipIf(missing !== "")("a Service leads a container to itself", async () => {
      const { server, own } = prepare();
      await serve((work) => server.sandbox.run(work), { protocol: "tcp", address: own, port: 8080, name: "server" });
      expect(askService(server, family)).toMatch(/^server /);
    });
  });
});
