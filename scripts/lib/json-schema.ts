import { toJsonSchema } from "@valibot/to-json-schema";
import type { GenericSchema } from "valibot";
import { common } from "../../src/cni/config.ts";
import type { Plugin } from "../../src/cni/plugin.ts";
import { versions } from "../../src/cni/version.ts";

/** A JSON Schema, as far as it is looked into here. */
export interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly [keyword: string]: unknown;
}

const draft = "http://json-schema.org/draft-07/schema#";

// What a runtime puts into a plugin's configuration, and what stands at the top of a list: nobody writes them into a plugin's part
const notWrittenThere = /^(prevResult|runtimeConfig|cni\.dev\/.*|cniVersions|disableCheck|disableGC|loadOnlyInlinedPlugins)$/;

/** Schema of one plugin's part of a network configuration, common keys included. */
export function pluginSchema(plugin: Plugin): JsonSchema {
  const own = exported(plugin.schema());
  const properties = Object.entries({ ...exported(common).properties, ...own.properties }).filter(
    ([key]) => !notWrittenThere.test(key),
  );
  const required = (own.required ?? []) as string[];
  return {
    $schema: draft,
    title: `Configuration of the CNI plugin ${plugin.type}`,
    type: "object",
    properties: { ...Object.fromEntries(properties), type: { const: plugin.type } },
    required: [...new Set(["type", ...required])],
  };
}

/** Schema of a whole `*.conflist`; parts of types that are not ours may hold anything. */
export function conflistSchema(schemas: Readonly<Record<string, JsonSchema>>): JsonSchema {
  const types = Object.keys(schemas);
  const parts = types.map((type) => whenType(type, { $ref: `${type}.json` }));
  const ipams = types
    .filter((type) => isIpam(schemas[type]))
    .map((type) => ({
      if: { properties: { ipam: ofType(type) }, required: ["ipam"] },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: { properties: { ipam: { $ref: `${type}.json#/properties/ipam` } } },
    }));
  return {
    $schema: draft,
    title: "CNI network configuration list",
    type: "object",
    properties: {
      cniVersion: { enum: versions },
      cniVersions: { type: "array", items: { enum: versions } },
      name: { type: "string", pattern: "^[A-Za-z0-9][A-Za-z0-9_.-]*$" },
      disableCheck: { type: "boolean" },
      disableGC: { type: "boolean" },
      loadOnlyInlinedPlugins: { type: "boolean" },
      plugins: {
        type: "array",
        minItems: 1,
        items: { type: "object", properties: { type: { type: "string" } }, required: ["type"], allOf: [...parts, ...ipams] },
      },
    },
    required: ["cniVersion", "name"],
  };
}

/** An IPAM plugin's schema says what is inside `ipam`; an interface plugin's only that it has a type. */
function isIpam(schema: JsonSchema | undefined): boolean {
  return Object.keys(schema?.properties?.ipam?.properties ?? {}).some((key) => key !== "type");
}

function ofType(type: string): JsonSchema {
  return { type: "object", properties: { type: { const: type } }, required: ["type"] };
}

function whenType(type: string, consequence: JsonSchema): JsonSchema {
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  return { if: ofType(type), then: consequence };
}

/** JSON Schema has no word for our own checks, transformations and marks; they are left out, and so are empty lists of required keys. */
function exported(schema: GenericSchema): JsonSchema {
  const text = JSON.stringify(toJsonSchema(schema, { errorMode: "ignore", typeMode: "input" }), (key, value) => {
    return key === "emptyMeansAbsent" || (key === "required" && value.length === 0) ? undefined : value;
  });
  return JSON.parse(text);
}
