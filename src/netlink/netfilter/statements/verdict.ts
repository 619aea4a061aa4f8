import { DATA_TYPES } from "../data-types.ts";
import type { Expression } from "../expression.ts";
import { FIRST_REGISTER as REGISTER } from "../registers.ts";
import { verdictExpression } from "../rule-context.ts";
import type { Statement } from "../statement.ts";

/** What becomes of the packet. */
export function verdict(code: "accept" | "drop" | "return"): Statement {
  return { text: code, compile: () => [verdictExpression({ code })] };
}

/** Goes on in another chain of the table; comes back at its end, unless it is a goto. */
export function jump(chain: string, code: "jump" | "goto" = "jump"): Statement {
  return { text: `${code} ${chain}`, compile: () => [verdictExpression({ code, chain })] };
}

/** Refuses the packet: port unreachable, or for tcp a reset. */
export function reject(how: "port-unreachable" | "admin-prohibited" = "port-unreachable"): Statement {
  const code = how === "port-unreachable" ? 1 : 3;
  const text = how === "port-unreachable" ? "reject" : `reject with icmpx ${how}`;
  return { text, compile: () => [{ name: "reject", data: { type: "icmpx", code } }] };
}

/** Counts packets and bytes. */
export function counter(): Statement {
  return { text: "counter", compile: () => [{ name: "counter", data: {} }] };
}

/** Sets bits of the packet's or the connection's mark: the others stay as they are. */
export function setMarkBits(kind: "meta mark" | "ct mark", bits: number): Statement {
  const mask = Buffer.alloc(4);
  mask.writeUInt32LE(~bits >>> 0);
  const value = DATA_TYPES.mark.encode(bits);
  const bitwise = { sreg: REGISTER, dreg: REGISTER, length: 4, mask: { value: mask }, xor: { value } };
  const access = (register: { dreg: number } | { sreg: number }): Expression =>
    kind === "meta mark"
      ? { name: "meta", data: { key: "mark", ...register } }
      : { name: "ct", data: { key: "mark", ...register } };
  return {
    text: `${kind} set ${kind} | ${DATA_TYPES.mark.format(bits)}`,
    compile: () => [access({ dreg: REGISTER }), { name: "bitwise", data: bitwise }, access({ sreg: REGISTER })],
  };
}
