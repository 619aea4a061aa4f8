import { describe, expect, it } from "vitest";
import { Rollback } from "../../../src/support/rollback.ts";

interface Record {
  readonly undone: string[];
  readonly reports: string[];
}

/** Defers two undos and then does `work`. */
function run(work: (rollback: Rollback, record: Record) => void): Record & { error: unknown } {
  const record: Record = { undone: [], reports: [] };
  try {
    using rollback = new Rollback((message) => record.reports.push(message));
    rollback.defer("undo one", () => record.undone.push("one"));
    rollback.defer("undo two", () => record.undone.push("two"));
    work(rollback, record);
  } catch (error) {
    return { ...record, error };
  }
  return { ...record, error: undefined };
}

describe("Rollback", () => {
  it("undoes nothing once committed", () => {
    expect(run((rollback) => rollback.commit())).toEqual({ undone: [], reports: [], error: undefined });
  });

  it("undoes newest first when the work throws, and the caller sees the work's error", () => {
    const error = new Error("no address left");
    const outcome = run(() => {
      throw error;
    });
    expect(outcome).toEqual({ undone: ["two", "one"], reports: [], error });
  });

  it("undoes when the work returns without committing", () => {
    expect(run(() => undefined)).toEqual({ undone: ["two", "one"], reports: [], error: undefined });
  });

  it("undoes what is deferred after a commit", () => {
    const outcome = run((rollback, { undone }) => {
      rollback.commit();
      rollback.defer("undo three", () => undone.push("three"));
    });
    expect(outcome.undone).toEqual(["three"]);
  });

  it("reports an undo that fails, runs the others and keeps the first error", () => {
    const error = new Error("the work's");
    const outcome = run((rollback) => {
      rollback.defer('delete link "plab"', () => {
        throw new Error("busy");
      });
      throw error;
    });
    expect(outcome).toEqual({ undone: ["two", "one"], reports: ['Cannot delete link "plab" while undoing: busy'], error });
  });

  it("undoes once, even if disposed of twice", () => {
    const undone: string[] = [];
    const rollback = new Rollback(() => undefined);
    rollback.defer("undo", () => undone.push("one"));
    rollback[Symbol.dispose]();
    rollback[Symbol.dispose]();
    expect(undone).toEqual(["one"]);
  });
});
