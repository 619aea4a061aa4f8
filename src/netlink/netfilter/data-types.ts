import { Address } from "../../ip/address.ts";
import { formatMac, parseMac } from "../../ip/mac.ts";
import { be16, be32, u8, u16, u32 } from "../codec.ts";

/** One field of a key or of a map's data, not a range. */
export type Scalar = Address | number | string;

/** How values of a type look on the wire and in nft's words. */
export interface DataType {
  /** nft's number of it (its enum datatypes), which the kernel keeps for listings. */
  readonly id: number;
  /** Bytes. */
  readonly size: number;
  /** nft's enum byteorder. */
  readonly byteorder: 1 | 2;
  encode(value: Scalar): Uint8Array;
  decode(bytes: Uint8Array): Scalar;
  format(value: Scalar): string;
}

const HOST_ENDIAN = 1;
const BIG_ENDIAN = 2;

const bigEndian = { 1: u8, 2: be16, 4: be32 } as const;
const littleEndian = { 1: u8, 2: u16, 4: u32 } as const;

function integer(id: number, size: 1 | 2 | 4, options: { byteorder: 1 | 2; names?: Readonly<Record<string, number>> }): DataType {
  const { byteorder, names = {} } = options;
  const codec = byteorder === BIG_ENDIAN ? bigEndian[size] : littleEndian[size];
  return {
    id,
    size,
    byteorder,
    encode(value) {
      const number = typeof value === "string" ? (names[value] ?? Number(value)) : value;
      if (typeof number !== "number" || !Number.isInteger(number)) throw new RangeError(`"${value}" is not a number`);
      return codec.encode(number);
    },
    decode(bytes) {
      const number = codec.decode(bytes);
      return Object.keys(names).find((name) => names[name] === number) ?? number;
    },
    format: (value) => (typeof value === "number" && id === MARK ? `0x${value.toString(16).padStart(8, "0")}` : String(value)),
  };
}

function ipAddress(id: number, family: 4 | 6): DataType {
  const size = family === 4 ? 4 : 16;
  return {
    id,
    size,
    byteorder: BIG_ENDIAN,
    encode(value) {
      const address = typeof value === "string" ? Address.parse(value) : value;
      if (!(address instanceof Address) || address.family !== family)
        throw new RangeError(`"${value}" is not an IPv${family} address`);
      return address.toBytes();
    },
    decode: (bytes) => Address.fromBytes(bytes.subarray(0, size)),
    format: String,
  };
}

const MARK = 19;
const IFNAMSIZ = 16;

const ifname: DataType = {
  id: 41,
  size: IFNAMSIZ,
  byteorder: HOST_ENDIAN,
  encode(value) {
    const name = Buffer.from(String(value));
    if (name.length === 0 || name.length >= IFNAMSIZ) throw new RangeError(`"${value}" is not the name of a link`);
    const bytes = new Uint8Array(IFNAMSIZ);
    bytes.set(name);
    return bytes;
  },
  decode: (bytes) => Buffer.from(bytes).toString("utf8").replace(/\0.*$/s, ""),
  format: (value) => `"${value}"`,
};

const etherAddress: DataType = {
  id: 9,
  size: 6,
  byteorder: BIG_ENDIAN,
  encode: (value) => parseMac(String(value)),
  decode: (bytes) => formatMac(bytes.subarray(0, 6)),
  format: String,
};

/** IANA protocol numbers by the names nft prints. */
const PROTOCOLS = { icmp: 1, tcp: 6, udp: 17, "ipv6-icmp": 58, sctp: 132, udplite: 136 } as const;

/** The types of nft that fields, sets and maps here are made of. */
export const DATA_TYPES = {
  nf_proto: integer(2, 1, { byteorder: HOST_ENDIAN, names: { ipv4: 2, ipv6: 10 } }),
  ipv4_addr: ipAddress(7, 4),
  ipv6_addr: ipAddress(8, 6),
  ether_addr: etherAddress,
  ether_type: integer(10, 2, { byteorder: BIG_ENDIAN, names: { ip: 0x0800, arp: 0x0806, vlan: 0x8100, ip6: 0x86dd } }),
  inet_proto: integer(12, 1, { byteorder: BIG_ENDIAN, names: PROTOCOLS }),
  inet_service: integer(13, 2, { byteorder: BIG_ENDIAN }),
  mark: integer(MARK, 4, { byteorder: HOST_ENDIAN }),
  ct_state: integer(26, 4, { byteorder: HOST_ENDIAN, names: { invalid: 1, established: 2, related: 4, new: 8, untracked: 64 } }),
  ct_dir: integer(27, 1, { byteorder: HOST_ENDIAN, names: { original: 0, reply: 1 } }),
  ct_status: integer(28, 4, { byteorder: HOST_ENDIAN, names: { snat: 0x10, dnat: 0x20 } }),
  fib_addrtype: integer(38, 4, {
    byteorder: HOST_ENDIAN,
    names: { unspec: 0, unicast: 1, local: 2, broadcast: 3, anycast: 4, multicast: 5, blackhole: 6, unreachable: 7, prohibit: 8 },
  }),
  ifname,
} as const satisfies Record<string, DataType>;

export type TypeName = keyof typeof DATA_TYPES;

/** The type with nft's number. */
export function typeById(id: number): TypeName | undefined {
  return (Object.keys(DATA_TYPES) as TypeName[]).find((name) => DATA_TYPES[name].id === id);
}
