import { normalizeMac } from "../ip/mac.ts";
import { CniError, codes } from "./error.ts";
import { quoteList } from "./json.ts";

/** CNI_ARGS: keys are case-sensitive, order means nothing, a key with an empty value is not there. */
export type Args = ReadonlyMap<string, string>;

// Each plugin of the reference knows some of these and chokes on the rest; a delegate gets its caller's, so all know all.
const known = ["IgnoreUnknown", "IP", "MAC", "GATEWAY"];

/**
 * Reads CNI_ARGS: `K=V;K2=V2`, each pair split at its first `=`, empty pairs (a `;` at the end) skipped.
 * @throws CniError 4 for a pair without key or `=`, and for a key that nobody knows unless `IgnoreUnknown=1`
 */
export function parseArgs(text: string): Args {
  const pairs = text.split(";").filter((pair) => pair !== "");
  const args = new Map<string, string>();
  const unknown: string[] = [];
  for (const pair of pairs) {
    const equals = pair.indexOf("=");
    if (equals < 1) throw invalid(`invalid pair ${JSON.stringify(pair)}`, "CNI_ARGS is a list KEY=VALUE;KEY=VALUE");
    const [key, value] = [pair.slice(0, equals), pair.slice(equals + 1)];
    if (!known.includes(key) && !key.startsWith("K8S_POD_")) unknown.push(pair);
    if (value === "") args.delete(key);
    else args.set(key, value);
  }
  if (unknown.length > 0 && !ignoresUnknown(args)) {
    throw invalid(`unknown args ${quoteList(unknown)}`, "IgnoreUnknown=1 among the arguments allows any key");
  }
  return args;
}

function ignoresUnknown(args: Args): boolean {
  const value = args.get("IgnoreUnknown") ?? "0";
  switch (value.toLowerCase()) {
    case "1":
    case "true":
      return true;
    case "0":
    case "false":
      return false;
    default:
      throw invalid(`IgnoreUnknown is ${JSON.stringify(value)}`, "expected 1, true, 0 or false");
  }
}

function invalid(why: string, details: string): CniError {
  return new CniError(codes.invalidEnvironment, `CNI_ARGS: ${why}`, { details });
}

/** `namespace/name` of the pod the attachment belongs to, as Kubernetes' runtimes say in CNI_ARGS. */
export function podOf(args: Args): string | undefined {
  const [namespace, name] = [args.get("K8S_POD_NAMESPACE"), args.get("K8S_POD_NAME")];
  return namespace === undefined || name === undefined ? undefined : `${namespace}/${name}`;
}

/** `MAC`, lower-case and colon separated. @throws CniError 4 when it is none */
export function macOf(args: Args): string | undefined {
  const text = args.get("MAC");
  if (text === undefined) return undefined;
  try {
    return normalizeMac(text);
  } catch (error) {
    const details = "expected six bytes as in c2:11:22:33:44:55";
    throw new CniError(codes.invalidEnvironment, `CNI_ARGS: MAC is ${JSON.stringify(text)}`, { details, cause: error });
  }
}
