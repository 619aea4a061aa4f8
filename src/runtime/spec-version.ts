import { versions } from "../cni/version.ts";

/** The latest version of the specification that podlink speaks. */
export const latestVersion = versions[versions.length - 1] ?? "1.1.0";

const SHAPE = /^(\d+)\.(\d+)\.(\d+)$/;

/**
 * Orders two versions as a configuration may name them, known to us or not; negative when `a` is the earlier one.
 * @throws Error when one is not of the form `1.2.3`
 */
export function compareVersions(a: string, b: string): number {
  const left = numbers(a);
  const right = numbers(b);
  for (let index = 0; index < 3; index++) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Whether `version` is `minimum` or later. */
export function reaches(version: string, minimum: string): boolean {
  return compareVersions(version, minimum) >= 0;
}

function numbers(version: string): number[] {
  const match = SHAPE.exec(version);
  if (match === null) throw new Error(`"${version}" is not a version of the form "1.1.0"`);
  return match.slice(1).map(Number);
}
