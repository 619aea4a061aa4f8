import { dlopen, getInt32 } from "node:ffi";

// What the bench needs of libc beyond Node's own functions: starting processes without Node's own costs, and plain blocking sockets.
// x86-64 and arm64 have the same sizes of the structures used here.

const { functions } = dlopen(null, {
  __errno_location: { return: "pointer", arguments: [] },
  pipe2: { return: "i32", arguments: ["pointer", "i32"] },
  memfd_create: { return: "i32", arguments: ["pointer", "u32"] },
  posix_spawn: { return: "i32", arguments: ["pointer", "pointer", "pointer", "pointer", "pointer", "pointer"] },
  posix_spawn_file_actions_init: { return: "i32", arguments: ["pointer"] },
  posix_spawn_file_actions_adddup2: { return: "i32", arguments: ["pointer", "i32", "i32"] },
  posix_spawn_file_actions_destroy: { return: "i32", arguments: ["pointer"] },
  posix_spawnattr_init: { return: "i32", arguments: ["pointer"] },
  posix_spawnattr_setflags: { return: "i32", arguments: ["pointer", "i16"] },
  posix_spawnattr_setsigdefault: { return: "i32", arguments: ["pointer", "pointer"] },
  wait4: { return: "i32", arguments: ["i32", "pointer", "i32", "pointer"] },
  socket: { return: "i32", arguments: ["i32", "i32", "i32"] },
  setsockopt: { return: "i32", arguments: ["i32", "i32", "i32", "pointer", "u32"] },
  bind: { return: "i32", arguments: ["i32", "pointer", "u32"] },
  listen: { return: "i32", arguments: ["i32", "i32"] },
  accept4: { return: "i32", arguments: ["i32", "pointer", "pointer", "i32"] },
  connect: { return: "i32", arguments: ["i32", "pointer", "u32"] },
  send: { return: "i64", arguments: ["i32", "pointer", "u64", "i32"] },
  recv: { return: "i64", arguments: ["i32", "pointer", "u64", "i32"] },
  close: { return: "i32", arguments: ["i32"] },
});

type Functions = typeof functions;
type Parameter = number | bigint | string | Uint8Array | null;

/** Calls one of them; pointers are strings, byte arrays or addresses. @throws Error with errno when it answers a number below zero */
export function system(name: Exclude<keyof Functions, "__errno_location">, ...parameters: Parameter[]): number {
  const call = functions[name] as unknown as (...parameters: Parameter[]) => number | bigint;
  const answer = Number(call(...parameters));
  if (answer < 0) throw new Error(`${name}: errno ${getInt32(functions.__errno_location(), 0)}`);
  return answer;
}
