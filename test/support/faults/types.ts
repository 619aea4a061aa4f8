import { beforeAll, describe, it } from "vitest";
import { plugins } from "../../../src/plugins/index.ts";
import { Caller } from "../call-plugin.ts";
import { exampleOf } from "../examples.ts";
import { requireBuilt } from "../executable.ts";
import { needs, supports } from "../kernel-features.ts";
import { hideMachineState, temporaryDirectory } from "../node.ts";
import { Site } from "./site.ts";

/** Declares a test for every type that there is, and each of these verbs. */
export function eachType(
  title: string,
  verbs: readonly string[],
  test: (site: Site, verb: string) => void | Promise<void>,
): void {
  const directory = temporaryDirectory();
  let caller: Caller;
  beforeAll(() => {
    requireBuilt();
    hideMachineState();
    caller = new Caller(directory);
  });
  for (const type of Object.keys(plugins)) {
    const example = exampleOf(type);
    const features = example.site.needs;
    describe.skipIf(!supports(...features))(`${type}${needs(...features)}`, () => {
      it.each(verbs)(`%s ${title}`, (verb) => test(new Site(example, caller), verb));
    });
  }
}
