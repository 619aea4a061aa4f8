import type { Address } from "../../../ip/address.ts";
import { DATA_TYPES } from "../data-types.ts";
import type { Expression } from "../expression.ts";
import { NAT_RANGE } from "../expressions/nat.ts";
import { FIRST_REGISTER, registerAt, slotsOf } from "../registers.ts";
import type { SelectorName } from "../selectors.ts";
import type { NftSet } from "../set.ts";
import type { Statement } from "../statement.ts";
import { fieldsText, loadFromMap } from "./lookup.ts";

const FAMILY = { 4: "ip", 6: "ip6" } as const;

/** The source becomes the address of the link the packet leaves by; `fullyRandom` also picks the port at random. */
export function masquerade(options: { fullyRandom?: boolean } = {}): Statement {
  const { fullyRandom = false } = options;
  return {
    text: fullyRandom ? "masquerade fully-random" : "masquerade",
    compile: () => [{ name: "masq", data: fullyRandom ? { flags: NAT_RANGE.PROTO_RANDOM_FULLY } : {} }],
  };
}

/**
 * The destination becomes what the map has for the fields: an address, or an address and a port. The rule must be for packets of the
 * family alone (`match("meta nfproto", …)`), where the fields do not say so.
 */
export function dnatToMap(names: readonly SelectorName[], map: NftSet): Statement {
  const types = map.data === undefined || map.data === "verdict" ? [] : map.data;
  const [address, port] = types;
  if (address !== "ipv4_addr" && address !== "ipv6_addr") {
    throw new RangeError(`Cannot translate to map "${map.name}": its data is ${types.join(" . ")}`);
  }
  const family = FAMILY[address === "ipv4_addr" ? 4 : 6];
  const data = {
    type: "dnat" as const,
    family,
    addressMin: FIRST_REGISTER,
    protoMin: port === undefined ? undefined : registerAt(slotsOf(DATA_TYPES[address].size)),
  };
  return {
    text: `dnat ${family} to ${fieldsText(names)} map @${map.name}`,
    compile: (context) => [...loadFromMap(context, names, map), { name: "nat", data }],
  };
}

/** The destination (dnat) or the source (snat) becomes one address, and port where given. */
export function translate(type: "dnat" | "snat", address: Address, options: { port?: number } = {}): Statement {
  const { port } = options;
  const family = FAMILY[address.family];
  const host = port !== undefined && address.family === 6 ? `[${address}]` : String(address);
  return {
    text: `${type} ${family} to ${host}${port === undefined ? "" : `:${port}`}`,
    compile() {
      const bytes = address.toBytes();
      const load = (dreg: number, value: Uint8Array): Expression => ({ name: "immediate", data: { dreg, data: { value } } });
      const common = { type, family, addressMin: FIRST_REGISTER };
      if (port === undefined) return [load(FIRST_REGISTER, bytes), { name: "nat", data: common }];
      const second = registerAt(slotsOf(bytes.length));
      return [
        load(FIRST_REGISTER, bytes),
        load(second, DATA_TYPES.inet_service.encode(port)),
        { name: "nat", data: { ...common, protoMin: second, flags: NAT_RANGE.PROTO_SPECIFIED } },
      ];
    },
  };
}
