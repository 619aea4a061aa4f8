// Exports the schemas of all plugins' configurations for editors to conf/schema/, `npm run schemas`.
// With --check it changes nothing and fails when a file there is not as it would be written.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { plugins } from "../src/plugins/index.ts";
import { conflistSchema, type JsonSchema, pluginSchema } from "./lib/json-schema.ts";
import { root } from "./lib/paths.ts";

const directory = join(root, "conf/schema");
const schemas: Record<string, JsonSchema> = {};
for (const plugin of Object.values(plugins)) schemas[plugin.type] = pluginSchema(plugin);
const files = new Map<string, string>();
for (const [name, schema] of [...Object.entries(schemas), ["conflist", conflistSchema(schemas)] as const]) {
  files.set(`${name}.json`, `${JSON.stringify(schema, null, 2)}\n`);
}

mkdirSync(directory, { recursive: true });
const present = readdirSync(directory);
const surplus = present.filter((name) => !files.has(name));
const stale = [...files].filter(
  ([name, text]) => !existsSync(join(directory, name)) || readFileSync(join(directory, name), "utf8") !== text,
);
if (process.argv.includes("--check")) {
  const names = [...surplus, ...stale.map(([name]) => name)];
  if (names.length > 0) {
    console.error(`Not up to date in conf/schema: ${names.join(", ")}; npm run schemas writes them`);
    process.exitCode = 1;
  }
} else {
  for (const name of surplus) rmSync(join(directory, name));
  for (const [name, text] of stale) writeFileSync(join(directory, name), text);
  console.log(`conf/schema: ${stale.length} written, ${surplus.length} removed, ${files.size} in all`);
}
