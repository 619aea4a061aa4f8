import { beforeAll, describe, expect, it } from "vitest";
import { type Implementation, observe, type ProcessAnswer, podlink, reference } from "../support/implementation.ts";
import { hideMachineState } from "../support/node.ts";
import { lacking } from "../support/reference.ts";
import { type SameCase, scenario } from "./reference-cases.ts";
import { accepted, refused } from "./refusal-cases.ts";

// What only one of the two takes, and what both refuse.

const missing = lacking(reference.path);

describe.skipIf(missing !== "")(`podlink beside the reference${missing}`, () => {
  beforeAll(hideMachineState);

  const add = (implementation: Implementation, each: SameCase): ProcessAnswer => observe(implementation, scenario(each)).add;

  it.each(accepted)("accepts $title: $why", (each) => {
    expect(add(reference, each)).toMatchObject({ exitCode: 1, output: { code: 999, msg: expect.stringMatching(each.theirs) } });
    expect(add(podlink, each)).toMatchObject({ exitCode: 0 });
  });

  it.each(refused)("refuses $title", (each) => {
    for (const [implementation, { code, msg }] of [
      [reference, each.theirs],
      [podlink, each.ours],
    ] as const) {
      expect(add(implementation, each), implementation.name).toMatchObject({
        exitCode: 1,
        output: { code, msg: expect.stringMatching(msg) },
      });
    }
  });
});
