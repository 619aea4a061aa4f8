import { errnoName, errnoText } from "../sys/errno.ts";
import { align4, attributes } from "./attributes.ts";
import { bufferOf, i32, text, u32, type ValueOf } from "./codec.ts";
import type { NetlinkMessage } from "./connection.ts";
import { NLMSG_DONE, NLMSG_HDRLEN } from "./framing.ts";

// linux/netlink.h, NLM_F_* of NLMSG_ERROR and NLMSG_DONE
const CAPPED = 0x100;
const ACK_TLVS = 0x200;

/** linux/netlink.h, enum nlmsgerr_attrs. */
const extendedAck = attributes({
  message: [1, "NLMSGERR_ATTR_MSG", text],
  offset: [2, "NLMSGERR_ATTR_OFFS", u32],
});

type ExtendedAck = ValueOf<typeof extendedAck>;

/** The kernel's refusal of a request: errno by name and number, with the words of its extended ack where it has any. */
export class NetlinkError extends Error {
  readonly code: string;
  readonly errno: number;
  /** The words of the extended ack. */
  readonly kernelWords: string | undefined;
  /** Where in the request, nlmsghdr included, the attribute stands that was refused. */
  readonly offset: number | undefined;

  constructor(request: string, errno: number, ack: ExtendedAck = {}) {
    super(`${request}: ${errnoText(errno)}${ack.message === undefined ? "" : `: ${ack.message}`}`);
    this.code = errnoName(errno);
    this.errno = errno;
    this.kernelWords = ack.message;
    this.offset = ack.offset;
  }
}

/** Positive; 0: no error. */
export function errnoOf({ body }: NetlinkMessage): number {
  return body.length < 4 ? 0 : -i32.decode(body);
}

/** The refusal that an answer is; undefined: it is none. @param request the kernel's name of what was asked */
export function readError(request: string, message: NetlinkMessage): NetlinkError | undefined {
  const errno = errnoOf(message);
  return errno <= 0 ? undefined : new NetlinkError(request, errno, readExtendedAck(message));
}

/**
 * struct nlmsgerr: i32 error (negative errno), then the request (capped: its header alone), then the extended ack's attributes.
 * NLMSG_DONE has no request in it.
 */
function readExtendedAck(message: NetlinkMessage): ExtendedAck {
  return (message.flags & ACK_TLVS) === 0 ? {} : extendedAck.decode(message.body.subarray(ackStart(message)));
}

function ackStart(message: NetlinkMessage): number {
  if (message.type === NLMSG_DONE) return 4;
  const capped = (message.flags & CAPPED) !== 0 || message.body.length < 4 + NLMSG_HDRLEN;
  return 4 + (capped ? NLMSG_HDRLEN : align4(bufferOf(message.body).readUInt32LE(4)));
}
