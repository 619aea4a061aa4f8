import { describe, expect, it } from "vitest";
import { during, Failures, reason } from "../../../src/support/errors.ts";

function fail(message: string): never {
  throw new Error(message);
}

/** What `work` throws. */
function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe("reason", () => {
  it.each([
    { thrown: new RangeError("too large"), text: "too large" },
    { thrown: "a word", text: "a word" },
    { thrown: undefined, text: "undefined" },
  ])("of $thrown is $text", ({ thrown, text }) => {
    expect(reason(thrown)).toBe(text);
  });
});

describe("during", () => {
  it("hands on what the work answers", () => {
    expect(during("count", () => 3)).toBe(3);
  });

  it("says what was being done, layer by layer, and keeps every cause", () => {
    const error = thrownBy(() => during('attach "eth0"', () => during('create link "plab"', () => fail("File exists"))));
    expect(error).toMatchObject({
      message: 'Cannot attach "eth0": Cannot create link "plab": File exists',
      cause: { message: 'Cannot create link "plab": File exists', cause: { message: "File exists" } },
    });
  });

  it("takes what is thrown without being an error", () => {
    const error = thrownBy(() =>
      during("work", () => {
        throw "a word";
      }),
    );
    expect(error).toMatchObject({ message: "Cannot work: a word", cause: "a word" });
  });
});

describe("Failures", () => {
  it("is silent when nothing failed", () => {
    const failures = new Failures();
    expect(failures.attempt("count", () => 3)).toBe(3);
    expect(() => failures.throwAny()).not.toThrow();
  });

  it("goes on after a failure and reports all of them, the first as the cause", () => {
    const failures = new Failures();
    const done: string[] = [];
    expect(failures.attempt("do one", () => fail("first"))).toBeUndefined();
    failures.attempt("do two", () => done.push("two"));
    failures.attempt("do three", () => fail("second"));
    expect(done).toEqual(["two"]);
    expect(thrownBy(() => failures.throwAny())).toMatchObject({
      message: "Cannot do one: first; Cannot do three: second",
      cause: { message: "Cannot do one: first" },
    });
  });
});
