import { basename } from "node:path";
import { responder } from "./host.ts";
import { answerCall } from "./plugin-call.ts";
import { corePlugins } from "./plugins/core.ts";

// The types that most nodes call for every container: a script of its own, which main.ts runs.

answerCall(basename(process.argv0), { env: process.env, respond: responder(corePlugins) });
