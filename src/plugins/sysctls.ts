import { expectSame } from "../attachment/verify.ts";
import { CniError, codes } from "../cni/error.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { readSysctl, SysctlRefusedError, setSysctl } from "../link/sysctl.ts";
import { collapse, sameSysctlValue } from "../link/sysctl-value.ts";
import { during, type Failures, reason } from "../support/errors.ts";
import { isErrno } from "../sys/errno.ts";
import type { Sysctl } from "./sysctl-config.ts";
import { readAllowList, requireAllowed } from "./tuning-allow-list.ts";

/** @throws CniError 7 that names the first sysctl that the administrator's list, if there is one, does not have */
export function requireSysctlsAllowed(sysctls: readonly Sysctl[]): void {
  const list = sysctls.length === 0 ? undefined : readAllowList();
  if (list !== undefined) requireAllowed(list, sysctls);
}

/** As requireSysctlsAllowed, in the words of STATUS. @throws CniError 50 */
export function requireSysctlsReady(sysctls: readonly Sysctl[]): void {
  try {
    requireSysctlsAllowed(sysctls);
  } catch (error) {
    const details = error instanceof CniError && error.details !== undefined ? { details: error.details } : {};
    throw new CniError(codes.unavailable, reason(error), { ...details, cause: error });
  }
}

/** Sets them in their order. @throws CniError 7 for values that the kernel does not take */
export function setSysctls(container: NetworkNamespace, sysctls: readonly Sysctl[]): void {
  for (const { key, path, value } of sysctls) {
    configuring(`set sysctl "${key}" to "${value}"`, () => setSysctl(container, path, value));
  }
}

/** Keeps in `failures` which of them are others now. */
export function checkSysctls(container: NetworkNamespace, failures: Failures, sysctls: readonly Sysctl[]): void {
  for (const sysctl of sysctls) failures.attempt(`check sysctl "${sysctl.key}"`, () => checkSysctl(container, sysctl));
}

/** What the kernel says of a value that will not do, the next time too. */
const REFUSED = ["EINVAL", "ERANGE", "EADDRNOTAVAIL", "EOPNOTSUPP", "E2BIG", "EACCES"];

/** Runs a change; what the kernel refuses because of its value is the configuration's fault (code 7). */
export function configuring(action: string, work: () => void): void {
  during(action, () => {
    try {
      work();
    } catch (error) {
      if (!(error instanceof SysctlRefusedError) && !isErrno(error, ...REFUSED)) throw error;
      throw new CniError(codes.invalidConfig, reason(error), { cause: error });
    }
  });
}

function checkSysctl(container: NetworkNamespace, { path, value }: Sysctl): void {
  let present: string | undefined;
  try {
    present = readSysctl(container, path);
  } catch (error) {
    if (isErrno(error, "EACCES", "EPERM")) return; // only to be written, as net/ipv4/route/flush
    throw error;
  }
  if (present !== undefined && sameSysctlValue(path, { wanted: value, present })) return;
  expectSame("its value", { expected: value, actual: present === undefined ? undefined : collapse(present) });
}
