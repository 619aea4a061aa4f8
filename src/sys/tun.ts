import { closeSync, openSync } from "node:fs";
import { libc, pointerTo } from "./libc.ts";

/** Where TUN and TAP devices are made: a character device, major 10, minor 200. */
export const TUN_DEVICE = "/dev/net/tun";

// linux/if_tun.h: requests of ioctl(2)
const TUNSETIFF = 0x400454can;
const TUNSETPERSIST = 0x400454cbn;
const TUNSETOWNER = 0x400454ccn;
const TUNSETGROUP = 0x400454cen;

// linux/if_tun.h, IFF_*
const TAP = 0x0002;
const MULTI_QUEUE = 0x0100;
const NO_PI = 0x1000;
const VNET_HDR = 0x4000;
const TUN_EXCL = 0x8000;

const NAME_SIZE = 16; // linux/if.h, IFNAMSIZ
const IFREQ_SIZE = 40; // struct ifreq: the name, then a union of which the flags are the first two bytes

/**
 * A queue of a TAP device of the namespace in which it was opened: frames that the kernel sends are read from its descriptor, frames
 * written to it are received. The device goes with its last queue, unless it is told to stay.
 */
export class TapQueue implements Disposable {
  readonly fd: number;

  private constructor(fd: number) {
    this.fd = fd;
  }

  /**
   * Opens a queue of a device, which is made where there is none of that name.
   * Frames come without the protocol before them, and with a struct virtio_net_hdr unless `plain`.
   * @param options.exclusive it must be made
   * @throws Error of the file system where /dev/net/tun is missing; SyscallError EBUSY when the name is taken
   */
  static open(name: string, options: { multiQueue: boolean; exclusive?: boolean; plain?: boolean }): TapQueue {
    const { exclusive = false, multiQueue, plain = false } = options;
    const queue = new TapQueue(openSync(TUN_DEVICE, "r+"));
    try {
      const request = Buffer.from(new ArrayBuffer(IFREQ_SIZE));
      request.write(name, 0, NAME_SIZE - 1, "utf8");
      const flags = TAP | NO_PI | (plain ? 0 : VNET_HDR) | (multiQueue ? MULTI_QUEUE : 0) | (exclusive ? TUN_EXCL : 0);
      request.writeUInt16LE(flags, NAME_SIZE);
      libc("ioctl", queue.fd, TUNSETIFF, pointerTo(request));
      return queue;
    } catch (error) {
      queue[Symbol.dispose]();
      throw error;
    }
  }

  /** Opens the file and closes it again. @throws Error of the file system */
  static probe(): void {
    closeSync(openSync(TUN_DEVICE, "r+"));
  }

  /** Lets the user with this number open queues of the device. */
  setOwner(uid: number): void {
    libc("ioctl", this.fd, TUNSETOWNER, BigInt(uid));
  }

  /** Lets the group with this number open queues of the device. */
  setGroup(gid: number): void {
    libc("ioctl", this.fd, TUNSETGROUP, BigInt(gid));
  }

  /** The device stays when its last queue is closed. */
  keep(): void {
    libc("ioctl", this.fd, TUNSETPERSIST, 1n);
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}
