import { describe, expect, it } from "vitest";
import { Prefix } from "../../../src/ip/prefix.ts";
import { addRule, deleteRule, listRules, NoRulesError } from "../../../src/link/rules.ts";
import { NetlinkConnection } from "../../../src/netlink/connection.ts";
import { fibRuleMessage } from "../../../src/netlink/route/rule.ts";
import { Steps } from "../../../src/support/steps.ts";
import { ack, done, FakeKernel, refusal, replay } from "../../support/fake-kernel.ts";
import { vector } from "../../support/hex.ts";

/** A namespace whose kernel answers as it is told. */
function namespaceOf(kernel: FakeKernel) {
  const steps = new Steps();
  const change = <T>(command: string, work: () => T): T => steps.run(command, work);
  return { namespace: { netlink: new NetlinkConnection(kernel), change } as never, steps };
}

const rule = { source: Prefix.parse("10.1.2.3/32"), table: 100, protocol: 112, priority: 32_765, plain: true };

describe("listRules", () => {
  it("tells rules that look at the source alone from others", () => {
    const { namespace } = namespaceOf(new FakeKernel((request) => [replay(request, vector("rules.hex", "IPv4 rules"))]));
    const found = listRules(namespace).map(({ source, table, priority, plain }) => `${priority}: ${source} ${table} ${plain}`);
    expect(found).toEqual([
      "0: 0.0.0.0/0 255 true",
      "77: 10.0.0.0/8 5 false",
      "1000: 0.0.0.0/0 0 false",
      "32765: 10.1.2.3/32 100 true",
      "32766: 0.0.0.0/0 254 true",
      "32767: 0.0.0.0/0 253 true",
    ]);
  });

  it.each([95, 97])("names the options of a kernel without rules (errno %i)", (errno) => {
    const { namespace } = namespaceOf(new FakeKernel((request) => [refusal(request, errno)]));
    expect(() => listRules(namespace)).toThrow(NoRulesError);
    expect(() => listRules(namespace)).toThrow(/CONFIG_IP_MULTIPLE_TABLES/);
  });

  it("passes other failures on", () => {
    const { namespace } = namespaceOf(new FakeKernel((request) => [refusal(request, 1)]));
    expect(() => listRules(namespace)).toThrow("(EPERM)");
  });

  it("does not mind that there is none", () => {
    const { namespace } = namespaceOf(new FakeKernel((request) => [done(request)]));
    expect(listRules(namespace)).toEqual([]);
  });
});

describe("addRule, deleteRule", () => {
  it.each([
    { table: 100, header: 100 },
    { table: 1000, header: 0 },
  ])("write table $table where it fits", ({ table, header }) => {
    const kernel = new FakeKernel((request) => [ack(request)]);
    const { namespace, steps } = namespaceOf(kernel);
    addRule(namespace, { ...rule, table });
    deleteRule(namespace, { ...rule, table, source: Prefix.parse("fd00::1/128"), protocol: 0 });
    const [added, deleted] = kernel.requests.map(({ body }) => fibRuleMessage.decode(body));
    expect(added).toMatchObject({ table: header, tableId: table, srcLength: 32, protocol: 112, action: 1 });
    expect(deleted).toMatchObject({ table: header, tableId: table, srcLength: 128, priority: 32_765 });
    expect(deleted?.protocol).toBeUndefined();
    expect(steps.list.map(({ command }) => command)).toEqual([
      `ip rule add from 10.1.2.3/32 table ${table} protocol 112`,
      `ip -6 rule del pref 32765 from fd00::1/128 table ${table}`,
    ]);
  });

  it("takes a rule that is gone for deleted", () => {
    const { namespace } = namespaceOf(new FakeKernel((request) => [refusal(request, 2)]));
    deleteRule(namespace, rule);
    expect(() => addRule(namespace, rule)).toThrow("(ENOENT)");
  });
});
