import fc from "fast-check";
import { hostileText, hostileValue, prototypeKeys, set } from "./hostile.ts";

/** One change somewhere in a JSON value. */
export interface Mutation {
  /** Which of the places of the value, by its share of them all. */
  readonly place: number;
  readonly what: "replace" | "drop" | "add" | "rename" | "double" | "wrap" | "retype";
  readonly key: string;
  readonly value: unknown;
}

/** @param keys what keys are called that mean something there */
export function mutations(
  keys: readonly string[],
  options: { minLength?: number; maxLength?: number } = {},
): fc.Arbitrary<Mutation[]> {
  const mutation = fc.record({
    place: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    what: fc.constantFrom<Mutation["what"]>(
      "replace",
      "replace",
      "replace",
      "drop",
      "add",
      "add",
      "rename",
      "double",
      "wrap",
      "retype",
    ),
    key: fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...(keys.length === 0 ? ["name"] : keys)) },
      { weight: 1, arbitrary: fc.constantFrom(...prototypeKeys) },
      { weight: 1, arbitrary: hostileText },
    ),
    value: hostileValue,
  });
  return fc.array(mutation, { minLength: options.minLength ?? 0, maxLength: options.maxLength ?? 3 });
}

type Place = { readonly holder: Record<string, unknown> | unknown[]; readonly key: string };

/** The value with each mutation made after the other; the value itself is left alone. */
export function mutate(value: unknown, changes: readonly Mutation[]): unknown {
  const root: { value: unknown } = { value: copyOf(value) };
  for (const given of changes) {
    const change = { ...given, value: copyOf(given.value) }; // or it would be put into itself

    const places: Place[] = [];
    collect(root.value, { places, into: { holder: root as Record<string, unknown>, key: "value" } });
    const place = places[Math.floor(change.place * places.length)];
    if (place !== undefined) apply(place, change);
  }
  return root.value;
}

/** JSON keeps `__proto__` a key, as structuredClone does not. */
function copyOf(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

const MOST_PLACES = 2000;

function collect(value: unknown, { places, into }: { places: Place[]; into: Place }): void {
  if (places.length >= MOST_PLACES) return;
  places.push(into);
  if (typeof value !== "object" || value === null) return;
  for (const key of Object.keys(value)) {
    const holder = value as Record<string, unknown>;
    collect(holder[key], { places, into: { holder, key } });
  }
}

function apply({ holder, key }: Place, { what, key: name, value }: Mutation): void {
  const old = Object.getOwnPropertyDescriptor(holder, key)?.value;
  const put = (item: unknown) => set(holder, key, item);
  if (what === "replace") put(value);
  else if (what === "wrap") put([old]);
  else if (what === "retype") put(retyped(old));
  else if (what === "drop") Array.isArray(holder) ? holder.splice(Number(key), 1) : delete holder[key];
  else if (what === "double" && Array.isArray(holder)) holder.push(old);
  else if (what === "double") set(holder, key.toUpperCase(), old);
  else if (what === "rename" && !Array.isArray(holder)) {
    delete holder[key];
    set(holder, name, old);
  } else if (typeof old === "object" && old !== null && !Array.isArray(old)) set(old, name, value);
  else if (Array.isArray(old)) old.push(value);
  else put(value);
}

function retyped(old: unknown): unknown {
  switch (typeof old) {
    case "string":
      return old === "" ? 0 : Number(old) || [old];
    case "number":
      return String(old);
    case "boolean":
      return String(old);
    default:
      return JSON.stringify(old);
  }
}

/** JSON text of a value with keys that stand there twice, which no object can say. */
export function withDoubledKeys(value: unknown, doubled: readonly (readonly [key: string, value: unknown])[]): string {
  const text = JSON.stringify(value) ?? "null";
  if (!text.startsWith("{") || doubled.length === 0) return text;
  const more = doubled.map(([key, item]) => `${JSON.stringify(key)}:${JSON.stringify(item) ?? "null"}`).join(",");
  return `${text.slice(0, -1)}${text === "{}" ? "" : ","}${more}}`;
}
