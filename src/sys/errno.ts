/** errno of asm-generic/errno-base.h and errno.h (the same on amd64 and arm64): name and the kernel's own words. Made when an error needs it. */
function errnoTable(): Readonly<Record<number, readonly [name: string, words: string]>> {
  return {
    1: ["EPERM", "Operation not permitted"],
    2: ["ENOENT", "No such file or directory"],
    3: ["ESRCH", "No such process"],
    4: ["EINTR", "Interrupted system call"],
    5: ["EIO", "Input/output error"],
    6: ["ENXIO", "No such device or address"],
    7: ["E2BIG", "Argument list too long"],
    9: ["EBADF", "Bad file descriptor"],
    11: ["EAGAIN", "Resource temporarily unavailable"],
    12: ["ENOMEM", "Cannot allocate memory"],
    13: ["EACCES", "Permission denied"],
    16: ["EBUSY", "Device or resource busy"],
    17: ["EEXIST", "File exists"],
    19: ["ENODEV", "No such device"],
    20: ["ENOTDIR", "Not a directory"],
    22: ["EINVAL", "Invalid argument"],
    23: ["ENFILE", "Too many open files in system"],
    24: ["EMFILE", "Too many open files"],
    28: ["ENOSPC", "No space left on device"],
    30: ["EROFS", "Read-only file system"],
    32: ["EPIPE", "Broken pipe"],
    33: ["EDOM", "Numerical argument out of domain"],
    34: ["ERANGE", "Numerical result out of range"],
    36: ["ENAMETOOLONG", "File name too long"],
    38: ["ENOSYS", "Function not implemented"],
    40: ["ELOOP", "Too many levels of symbolic links"],
    75: ["EOVERFLOW", "Value too large for defined data type"],
    85: ["ERESTART", "Interrupted system call should be restarted"],
    90: ["EMSGSIZE", "Message too long"],
    92: ["ENOPROTOOPT", "Protocol not available"],
    93: ["EPROTONOSUPPORT", "Protocol not supported"],
    95: ["EOPNOTSUPP", "Operation not supported"],
    97: ["EAFNOSUPPORT", "Address family not supported by protocol"],
    98: ["EADDRINUSE", "Address already in use"],
    99: ["EADDRNOTAVAIL", "Cannot assign requested address"],
    100: ["ENETDOWN", "Network is down"],
    101: ["ENETUNREACH", "Network is unreachable"],
    104: ["ECONNRESET", "Connection reset by peer"],
    105: ["ENOBUFS", "No buffer space available"],
    107: ["ENOTCONN", "Transport endpoint is not connected"],
    110: ["ETIMEDOUT", "Connection timed out"],
    111: ["ECONNREFUSED", "Connection refused"],
    113: ["EHOSTUNREACH", "No route to host"],
  };
}

/** `EEXIST`, or `errno 200` for a number the table does not have. */
export function errnoName(errno: number): string {
  return errnoTable()[errno]?.[0] ?? `errno ${errno}`;
}

/** `File exists (EEXIST)`. */
export function errnoText(errno: number): string {
  const known = errnoTable()[errno];
  return known === undefined ? `errno ${errno}` : `${known[1]} (${known[0]})`;
}

/** A system call that failed. `code` is the errno's name, as on Node's own file system errors. */
export class SyscallError extends Error {
  readonly code: string;
  readonly errno: number;

  constructor(call: string, errno: number) {
    super(`${call}: ${errnoText(errno)}`);
    this.errno = errno;
    this.code = errnoName(errno);
  }
}

/** Whether `error` is a failed system call (ours or one of Node's fs) with one of these errno names. */
export function isErrno(error: unknown, ...names: string[]): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string" && names.includes(error.code);
}
