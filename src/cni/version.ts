/** Every version of the specification there is, oldest first; podlink speaks all of them. */
export const versions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;

export type Version = (typeof versions)[number];

export function isVersion(text: string): text is Version {
  return (versions as readonly string[]).includes(text);
}

/** Whether `version` is `minimum` or later. */
export function atLeast(version: Version, minimum: Version): boolean {
  return versions.indexOf(version) >= versions.indexOf(minimum);
}
