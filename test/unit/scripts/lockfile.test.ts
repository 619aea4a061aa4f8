import { describe, expect, it } from "vitest";
import { missingOptionals } from "../../../scripts/lib/lockfile.ts";

describe("missingOptionals", () => {
  it("names each optional dependency without an entry, once", () => {
    const packages = {
      "": { optionalDependencies: { here: "1.0.0" } },
      "node_modules/here": {},
      "node_modules/tool": { optionalDependencies: { "@tool/linux": "2.0.0", "@tool/win32": "2.0.0" } },
      "node_modules/other/node_modules/tool": { optionalDependencies: { "@tool/win32": "2.0.0" } },
      "node_modules/@tool/linux": {},
    };
    expect(missingOptionals(packages)).toEqual([{ name: "@tool/win32", version: "2.0.0" }]);
  });

  it("looks where Node looks: beside the package that asks, then further out", () => {
    const packages = {
      "node_modules/a": { optionalDependencies: { inner: "1.0.0", outer: "1.0.0", sibling: "1.0.0" } },
      "node_modules/a/node_modules/inner": {},
      "node_modules/outer": {},
      "node_modules/b/node_modules/sibling": {},
    };
    expect(missingOptionals(packages)).toEqual([{ name: "sibling", version: "1.0.0" }]);
  });
});
