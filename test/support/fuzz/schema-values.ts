import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { root } from "../../../scripts/lib/paths.ts";
import { hostileText } from "./hostile.ts";

// Configurations that are right by the schemas in conf/schema: what hostile ones are told from.

/** As much of JSON Schema as the files have. */
interface Schema {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema | readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly minimum?: number;
  readonly maximum?: number;
}

export function readSchema(type: string): Schema {
  return JSON.parse(readFileSync(join(root, "conf/schema", `${type}.json`), "utf8"));
}

/** Every key that the schema names, at any depth. */
export function keysOf(schema: Schema): string[] {
  const below = [...Object.values(schema.properties ?? {}), ...items(schema), ...(schema.anyOf ?? [])].flatMap(keysOf);
  return [...new Set([...Object.keys(schema.properties ?? {}), ...below])];
}

function items({ items: found }: Schema): readonly Schema[] {
  return found === undefined ? [] : Array.isArray(found) ? found : [found as Schema];
}

/** Where in a configuration texts stand; of a list it is the first. */
export function textPlaces(schema: Schema): (string | number)[][] {
  const below = Object.entries(schema.properties ?? {}).flatMap(([key, one]) => textPlaces(one).map((place) => [key, ...place]));
  const within = items(schema).flatMap((one) => textPlaces(one).map((place) => [0, ...place]));
  const own = [schema.type].flat().includes("string") ? [[]] : [];
  return [...own, ...below, ...within, ...(schema.anyOf ?? []).flatMap(textPlaces)];
}

/** The value with another one in that place. */
export function withValueAt(value: unknown, [key, ...rest]: readonly (string | number)[], placed: unknown): unknown {
  if (key === undefined) return placed;
  if (typeof key === "number") return [withValueAt(Array.isArray(value) ? value[0] : undefined, rest, placed)];
  const held: Readonly<Record<string, unknown>> = typeof value === "object" && value !== null ? { ...value } : {};
  return { ...held, [key]: withValueAt(held[key], rest, placed) };
}

const plausibleText = fc.oneof(
  fc.constantFrom("eth0", "fuzz0", "net0", "x", "1", "1024", "tcp", "udp", "sctp", "nftables", "iptables", "lan.example"),
  fc.constantFrom(
    "10.90.9.0/24",
    "10.90.9.7/24",
    "10.90.9.1",
    "0.0.0.0/0",
    "fd00:99::/64",
    "fd00:99::7/64",
    "fd00:99::1",
    "::/0",
  ),
  fc.constantFrom(
    "c2:11:22:33:44:55",
    "bridge",
    "private",
    "routed",
    "bridged",
    "same-bridge",
    "isolated",
    "open",
    "auto",
    "l2",
    "l3",
  ),
  hostileText,
);

const plausibleNumber = (low: number, high: number) =>
  fc.oneof(
    fc.constantFrom(...[0, 1, 2, 68, 80, 1280, 1400, 1500, 9000].filter((one) => one >= low && one <= high), low, high),
    fc.integer({ min: Math.ceil(low), max: Math.floor(high) }),
  );

/** A value that the schema allows; what it does not tell of addresses and names is tried. */
export function valuesOf(schema: Schema, depth = 0): fc.Arbitrary<unknown> {
  if ("const" in schema) return fc.constant(schema.const);
  if (schema.enum !== undefined && schema.enum.length > 0) return fc.constantFrom(...schema.enum);
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map((one) => valuesOf(one, depth)));
  const [type] = [schema.type].flat();
  switch (type) {
    case "boolean":
      return fc.boolean();
    case "integer":
    case "number": {
      const { minimum = 0, maximum = 65_535 } = schema;
      return plausibleNumber(minimum, Math.max(minimum, Math.min(maximum, Number.MAX_SAFE_INTEGER)));
    }
    case "string":
      return plausibleText;
    case "array": {
      const [item] = items(schema);
      return item === undefined || depth > 4 ? fc.constant([]) : fc.array(valuesOf(item, depth + 1), { maxLength: 3 });
    }
    case "object":
      return depth > 5 ? fc.constant({}) : objectsOf(schema, depth);
    default:
      return fc.constantFrom<unknown>({}, [], "x", 1, true);
  }
}

/** An object with some of the schema's keys. */
export function objectsOf(schema: Schema, depth = 0): fc.Arbitrary<Record<string, unknown>> {
  const entries = Object.entries(schema.properties ?? {});
  if (entries.length === 0) return fc.constant({});
  const chosen = fc.subarray(entries, { maxLength: Math.min(4, entries.length) });
  return chosen
    .chain((some) => fc.tuple(...some.map(([key, below]) => valuesOf(below, depth + 1).map((value) => [key, value] as const))))
    .map((made) => Object.fromEntries(made));
}
