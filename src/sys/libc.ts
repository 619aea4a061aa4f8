import type { DynamicLibrary, FunctionSignature, WrappedFunctionFromSignature } from "node:ffi";
import { SyscallError } from "./errno.ts";

// node:ffi is loaded when the first function is called, which takes 1 to 2 ms and which VERSION never does; each function is looked
// up when it is first called, which takes 60 µs.

const signatures = {
  __errno_location: { return: "pointer", arguments: [] },
  socket: { return: "i32", arguments: ["i32", "i32", "i32"] },
  bind: { return: "i32", arguments: ["i32", "pointer", "u32"] },
  setsockopt: { return: "i32", arguments: ["i32", "i32", "i32", "pointer", "u32"] },
  connect: { return: "i32", arguments: ["i32", "pointer", "u32"] },
  getsockopt: { return: "i32", arguments: ["i32", "i32", "i32", "pointer", "pointer"] },
  send: { return: "i64", arguments: ["i32", "pointer", "u64", "i32"] },
  recv: { return: "i64", arguments: ["i32", "pointer", "u64", "i32"] },
  poll: { return: "i32", arguments: ["pointer", "u64", "i32"] },
  eventfd: { return: "i32", arguments: ["u32", "i32"] },
  clock_gettime: { return: "i32", arguments: ["i32", "pointer"] },
  ioctl: { return: "i32", arguments: ["i32", "u64", "u64"] },
  setns: { return: "i32", arguments: ["i32", "i32"] },
  unshare: { return: "i32", arguments: ["i32"] },
  mount: { return: "i32", arguments: ["pointer", "pointer", "pointer", "u64", "pointer"] },
  umount2: { return: "i32", arguments: ["pointer", "i32"] },
  flock: { return: "i32", arguments: ["i32", "i32"] },
  syscall: { return: "i64", arguments: ["i64", "i32", "pointer", "u64"] }, // as directory-entries.ts calls it
  signal: { return: "pointer", arguments: ["i32", "u64"] },
  _exit: { return: "void", arguments: ["i32"] },
} as const satisfies Record<string, FunctionSignature>;

type Name = keyof typeof signatures;
type Functions = { [N in Name]?: WrappedFunctionFromSignature<(typeof signatures)[N]> };

let ffi: typeof import("node:ffi") | undefined;
let library: DynamicLibrary | undefined;
const functions: Functions = {};

function lookUp<N extends Name>(name: N): WrappedFunctionFromSignature<(typeof signatures)[N]> {
  const known = functions[name];
  if (known !== undefined) return known as WrappedFunctionFromSignature<(typeof signatures)[N]>;
  ffi ??= process.getBuiltinModule("node:ffi");
  library ??= new ffi.DynamicLibrary(null);
  const found = library.getFunction(name, signatures[name]);
  functions[name] = found as Functions[N];
  return found;
}

type Parameter = number | bigint | string | Uint8Array | null;

/**
 * Calls a function of libc that answers -1 on failure.
 * Pointers are strings or byte arrays, 64-bit integers bigints.
 * @throws SyscallError with errno; EINTR is the caller's business
 */
export function libc(name: Exclude<Name, "_exit" | "__errno_location" | "signal">, ...parameters: Parameter[]): number {
  const call = lookUp(name) as unknown as (...parameters: Parameter[]) => number | bigint;
  const errnoLocation = lookUp("__errno_location"); // before the call: a lookup after it could change errno
  const answer = Number(call(...parameters));
  if (answer < 0) throw new SyscallError(name, ffi?.getInt32(errnoLocation(), 0) ?? 0);
  return answer;
}

/** The address of `bytes`, for a structure that holds pointers; good as long as the caller keeps `bytes`. */
export function pointerTo(bytes: Uint8Array): bigint {
  ffi ??= process.getBuiltinModule("node:ffi");
  return ffi.getRawPointer(bytes);
}

/**
 * Ends the process at once, without exit handlers: after what the environment may have asked Node for (coverage, a parent's IPC
 * channel), a handler would write files or abort.
 * @param loadFfi whether it is worth loading node:ffi for; otherwise it is done by libc's _exit only where that is loaded already
 */
export function exitNow(code: number, options: { loadFfi?: boolean } = {}): never {
  if (ffi !== undefined || options.loadFfi === true) lookUp("_exit")(code);
  const { reallyExit } = process as unknown as { reallyExit: (code: number) => never };
  return reallyExit.call(process, code);
}

/** Ignores a signal (signal(2), SIG_IGN) without waking Node's own signal handling. */
export function ignoreSignal(signal: number): void {
  lookUp("signal")(signal, 1n);
}
