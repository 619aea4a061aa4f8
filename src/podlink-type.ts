import { responder } from "./host.ts";
import { answerCall } from "./plugin-call.ts";
import { corePlugins } from "./plugins/core.ts";
import { podlink } from "./plugins/podlink.ts";

// The type that does it all in one call, and those that it delegates to: a script of its own, which main.ts runs.

answerCall("podlink", { env: process.env, respond: responder({ ...corePlugins, podlink }) });
