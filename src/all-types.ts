import { basename } from "node:path";
import { answerCall } from "./plugin-call.ts";
import { plugins } from "./plugins/index.ts";

// Every plugin type, for calls that the script the executable starts with does not answer itself: a script of its own, which main.ts runs.

/** main.ts's, which it hands to the scripts it runs. */
declare const runScript: (filename: string) => void;

function main(): void {
  const { argv0, env } = process;
  const name = basename(argv0);
  if (Object.hasOwn(plugins, name) || (env.CNI_COMMAND ?? "") !== "") answerCall(name, { env, plugins });
  runScript("cli.cjs"); // the executable under a name that nobody gave it
}

main();
