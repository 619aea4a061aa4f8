import type { GenericSchema } from "valibot";
import { excerpt } from "./error.ts";
import { isObject } from "./json.ts";

/** Keys and indexes from the top down to a value. */
export type Path = readonly (string | number)[];

export interface UnknownKey {
  readonly path: Path;
  readonly value: unknown;
}

/** What folding looks at of a valibot schema: wrappers, alternatives, entries. */
interface Shape {
  readonly type: string;
  readonly kind?: string;
  readonly wrapped?: Shape;
  readonly options?: readonly unknown[];
  readonly entries?: Readonly<Record<string, Shape>>;
  readonly item?: Shape;
  readonly pipe?: readonly { readonly type: string; readonly metadata?: Readonly<Record<string, unknown>> }[];
}

/** Types of schema for which no key is unknown. */
const open = ["loose_object", "object_with_rest", "record", "any", "unknown", "custom"];

/**
 * Reads JSON as Go's decoder would for a struct of this schema: keys match in any case and take the schema's spelling, the last
 * of several spellings wins, and `null` (or an empty address) leaves a key as if it were not there, unless its schema is
 * `nullable`.
 * @param options.unknown takes the keys that a schema made with `object` does not have; those in a `looseObject` are right
 */
export function fold(schema: GenericSchema, value: unknown, { unknown = [] }: { unknown?: UnknownKey[] } = {}): unknown {
  return foldValue([schema as unknown as Shape], value, { path: [], unknown });
}

interface Position {
  readonly path: Path;
  readonly unknown: UnknownKey[];
}

function foldValue(shapes: readonly Shape[], value: unknown, { path, unknown }: Position): unknown {
  const alternatives = shapes.flatMap(unwrap);
  if (Array.isArray(value)) {
    const items = alternatives.flatMap((shape) => shape.item ?? []);
    if (items.length > 0) return value.map((item, index) => foldValue(items, item, { path: [...path, index], unknown }));
    // valibot takes a list for an object without keys
    const objects = alternatives.length > 0 && alternatives.every((shape) => shape.entries !== undefined);
    if (objects) throw new TypeError(`${JSON.stringify(formatPath(path))} is ${excerpt(value)}: expected an object`);
    return value;
  }
  const objects = alternatives.filter((shape) => shape.entries !== undefined);
  if (!isObject(value) || objects.length === 0) return value;
  const known = new Map<string, { name: string; shapes: Shape[] }>();
  for (const [name, shape] of objects.flatMap((object) => Object.entries(object.entries ?? {}))) {
    const entry = known.get(name.toLowerCase());
    if (entry === undefined) known.set(name.toLowerCase(), { name, shapes: [shape] });
    else entry.shapes.push(shape);
  }
  const closed = !alternatives.some((shape) => open.includes(shape.type));
  const entries = new Map<string, unknown>();
  for (const [key, item] of Object.entries(value)) {
    const entry = known.get(key.toLowerCase());
    if (entry === undefined) {
      if (closed) unknown.push({ path: [...path, key], value: item });
      entries.set(key, item);
    } else if (!isAbsent(entry.shapes, item)) {
      entries.set(entry.name, foldValue(entry.shapes, item, { path: [...path, entry.name], unknown }));
    }
  }
  return Object.fromEntries(entries);
}

/** The shapes that describe a value itself, behind optional, nullable, union and their like. */
function unwrap(shape: Shape): Shape[] {
  if (shape.wrapped !== undefined) return unwrap(shape.wrapped);
  const options = (shape.options ?? []).filter((option) => isObject(option) && option.kind === "schema") as unknown as Shape[];
  return options.length > 0 ? options.flatMap(unwrap) : [shape];
}

function isAbsent(shapes: readonly Shape[], value: unknown): boolean {
  if (value === null) return !shapes.some(takesNull);
  const markers = shapes.flatMap(unwrap).flatMap((shape) => shape.pipe ?? []);
  return value === "" && markers.some((item) => item.type === "metadata" && item.metadata?.emptyMeansAbsent === true);
}

function takesNull(shape: Shape): boolean {
  return shape.type === "nullable" || (shape.wrapped !== undefined && takesNull(shape.wrapped));
}

/** `vlanTrunk[0].minID` */
export function formatPath(path: Path): string {
  return path.reduce<string>((all, part) => {
    if (typeof part === "number") return `${all}[${part}]`;
    return all === "" ? part : `${all}.${part}`;
  }, "");
}
