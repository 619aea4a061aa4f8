import { parseObject } from "./json.ts";
import { readHeader } from "./network.ts";
import { isVersion, type Version, versions } from "./version.ts";

/**
 * What VERSION prints: it is told in the version it is asked in, must work with whatever stands on stdin, and needs nothing of the plugin
 * type (SPEC section 2, "VERSION").
 */
export function answerVersion(stdin: () => Uint8Array): string {
  return `${JSON.stringify({ cniVersion: askedVersion(stdin), supportedVersions: versions })}\n`;
}

function askedVersion(stdin: () => Uint8Array): Version {
  try {
    const { cniVersion } = readHeader(parseObject(stdin(), "version request"));
    return isVersion(cniVersion) ? cniVersion : "1.1.0";
  } catch {
    return "1.1.0";
  }
}
