import { describe, expect, it } from "vitest";
import { type Attached, Bench } from "../support/attach.ts";
import type { Json } from "../support/call-plugin.ts";
import { output } from "../support/node.ts";
import { makeOutside } from "../support/outside.ts";
import { ask, serve } from "../support/talk.ts";

// A node as full as one gets: what containers add to nf_tables are elements, never rules.

const bench = new Bench();

const MANY = 500;

/** A container with everything that nf_tables has for one; ports only for some, as on a node. */
function attach(number: number): Attached {
  const port = { hostPort: 10_000 + number, containerPort: 80 };
  const portMappings = ["tcp", "udp"].map((protocol) => ({ ...port, protocol }));
  const runtimeConfig: Json = number % 10 === 1 ? { portMappings } : {};
  return bench.attach({
    cniVersion: "1.1.0",
    name: "pods",
    type: "podlink",
    ingressPolicy: "isolated",
    hostForward: true,
    ipam: { type: "host-local", ranges: [[{ subnet: "10.244.0.0/22" }], [{ subnet: "fd00:244:1::/64" }]] },
    runtimeConfig,
  });
}

/** Tables, chains, rules, sets: everything but elements. */
const frame = (): string => output("nft", "--stateless", "--terse", "list", "ruleset");

describe(`with ${MANY} containers`, () => {
  it("nf_tables has the tables, chains, sets and rules that it has with one, and the last container works as the first", {
    timeout: 180_000,
  }, async () => {
    const outside = makeOutside();
    output("nft", "add table ip theirs; add chain ip theirs forward { type filter hook forward priority 0; policy drop; }");
    const first = attach(1);
    const withOne = frame();
    expect(withOne.match(/^\t\t.* comment "/gm)?.length).toBeGreaterThan(10);

    let last = first;
    for (let number = 2; number <= MANY + 1; number++) last = attach(number);
    expect(frame()).toBe(withOne);
    expect(output("nft", "list", "map", "inet", "podlink", "masqueraded4").match(/comment/g)).toHaveLength(MANY + 1);

    expect(last.sandbox.ping(outside.v4)).toBe(true);
    expect(last.sandbox.ping(first.v4, { timeoutMs: 300 })).toBe(false);
    await serve((work) => last.sandbox.run(work), { protocol: "tcp", address: last.v4, port: 80, name: "last" });
    const port = 10_000 + MANY + 1;
    expect(ask((work) => work(), { protocol: "tcp", address: "127.0.0.1", port })).toBe("last 10.244.0.1");

    bench.detach(last);
    expect(frame()).toBe(withOne);
    expect(output("nft", "list", "map", "inet", "podlink", "hostport4")).not.toContain(String(port));
    expect(first.sandbox.ping(outside.v4)).toBe(true);
  });
});
