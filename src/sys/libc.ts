import type { DynamicLibrary, FunctionSignature, WrappedFunctionFromSignature } from "node:ffi";
import { SyscallError } from "./errno.ts";

// node:ffi is loaded when the first function is called, which takes 1 to 2 ms and which VERSION never does. To look a function up and call
// it for the first time takes 100 µs, for node:ffi makes machine code for each; so what every ADD and DEL calls goes through one: syscall(2).

const word = "pointer"; // a register: of pointers node:ffi takes addresses as bigints, and byte arrays

const signatures = {
  __errno_location: { return: "pointer", arguments: [] },
  syscall: { return: "i64", arguments: ["i64", word, word, word, word, word, word] },
  bind: { return: "i32", arguments: ["i32", "pointer", "u32"] },
  connect: { return: "i32", arguments: ["i32", "pointer", "u32"] },
  getsockopt: { return: "i32", arguments: ["i32", "i32", "i32", "pointer", "pointer"] },
  poll: { return: "i32", arguments: ["pointer", "u64", "i32"] },
  eventfd: { return: "i32", arguments: ["u32", "i32"] },
  clock_gettime: { return: "i32", arguments: ["i32", "pointer"] },
  unshare: { return: "i32", arguments: ["i32"] },
  mount: { return: "i32", arguments: ["pointer", "pointer", "pointer", "u64", "pointer"] },
  umount2: { return: "i32", arguments: ["pointer", "i32"] },
  signal: { return: "pointer", arguments: ["i32", "u64"] },
  _exit: { return: "void", arguments: ["i32"] },
} as const satisfies Record<string, FunctionSignature>;

/** Numbers of system calls: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h. */
const numbers = {
  x64: { socket: 41, sendto: 44, recvfrom: 45, setsockopt: 54, ioctl: 16, setns: 308, flock: 73, getdents64: 217 },
  arm64: { socket: 198, sendto: 206, recvfrom: 207, setsockopt: 208, ioctl: 29, setns: 268, flock: 32, getdents64: 61 },
} as const;

type SystemCall = keyof (typeof numbers)["x64"];

const ARGUMENTS = 6;

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
 * Makes a system call, or calls a function of libc, that answers -1 on failure.
 * Pointers are strings or byte arrays, 64-bit integers bigints.
 * @throws SyscallError with errno; EINTR is the caller's business
 */
export function libc(
  name: SystemCall | Exclude<Name, "_exit" | "__errno_location" | "signal" | "syscall">,
  ...parameters: Parameter[]
): number {
  const call = isSystemCall(name) ? systemCall(name) : lookUp(name);
  const errnoLocation = lookUp("__errno_location"); // before the call: a lookup after it could change errno
  const answer = Number((call as (...parameters: Parameter[]) => number | bigint)(...parameters));
  if (answer < 0) throw new SyscallError(name, ffi?.getInt32(errnoLocation(), 0) ?? 0);
  return answer;
}

function isSystemCall(name: string): name is SystemCall {
  return Object.hasOwn(numbers.x64, name);
}

function systemCall(name: SystemCall): (...parameters: Parameter[]) => bigint {
  const call = lookUp("syscall") as unknown as (...parameters: Parameter[]) => bigint;
  const number = BigInt(numbers[process.arch === "arm64" ? "arm64" : "x64"][name]);
  return (...parameters) => {
    const words = parameters.map((value) => (typeof value === "number" ? BigInt.asUintN(64, BigInt(value)) : value));
    while (words.length < ARGUMENTS) words.push(0n);
    return call(number, ...words);
  };
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
