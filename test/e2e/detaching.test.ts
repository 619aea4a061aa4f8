import { expect } from "vitest";
import { start } from "../support/executable.ts";
import type { Site } from "../support/faults/site.ts";
import { eachType } from "../support/faults/types.ts";
import { nodeSnapshot } from "../support/node.ts";

const AT_ONCE = 20;

eachType(`of one container, ${AT_ONCE} at once`, ["DEL"], async (site: Site, verb) => {
  site.reset();
  site.passBy();
  const clean = nodeSnapshot();
  const one = site.prepare("cid-1");
  const prevResult = site.add(one);
  const { type, env, config } = site.processCall(verb, one, { prevResult });
  const input = JSON.stringify(config);
  const outcomes = await Promise.all(Array.from({ length: AT_ONCE }, () => start(type, { env, input })));
  expect(outcomes.map(({ status, stdout }) => ({ status, stdout }))).toEqual(outcomes.map(() => ({ status: 0, stdout: "" })));
  site.clear(one);
  expect(nodeSnapshot()).toEqual(clean);
});
