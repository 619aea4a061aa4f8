import { basename } from "node:path";
import { responder } from "./host.ts";
import { answerCall } from "./plugin-call.ts";
import { plugins } from "./plugins/index.ts";

// Every plugin type, for calls that the script the executable starts with does not answer itself: a script of its own, which main.ts runs.

/** main.ts's, which it hands to the scripts it runs. */
declare const runScript: (filename: string) => void;

function main(): void {
  const { argv, argv0, env } = process;
  const name = basename(argv0);
  const isCall = (env.CNI_COMMAND ?? "") !== "";
  const isType = Object.hasOwn(plugins, name);
  const isCommand = isType && !isCall && plugins[name]?.commands?.includes(argv[2] ?? "") === true;
  if (isCall || (isType && !isCommand)) answerCall(name, { env, respond: responder(plugins) });
  runScript("cli.cjs"); // a type's command, or the executable under a name that nobody gave it
}

main();
