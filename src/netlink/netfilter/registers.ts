// linux/netfilter/nf_tables.h, enum nft_registers: 16 slots of 4 bytes (NFT_REG32_00 = 8 …), which four 16-byte registers (NFT_REG_1 = 1 …) overlay.
const SLOTS = 16;
const NFT_REG32_00 = 8;

/** The register that verdicts are written to. */
export const VERDICT_REGISTER = 0;

/** The first register values are loaded to. */
export const FIRST_REGISTER = 1;

/** How many 4-byte slots a value takes. */
export function slotsOf(length: number): number {
  return Math.ceil(length / 4);
}

/**
 * The number of the register that starts at a slot, as nft and the kernel's dumps have it: a 16-byte register where one starts there.
 * @throws RangeError beyond the last slot
 */
export function registerAt(slot: number): number {
  if (slot >= SLOTS) throw new RangeError(`Cannot load a value to slot ${slot}: there are ${SLOTS}`);
  return slot % 4 === 0 ? slot / 4 + 1 : NFT_REG32_00 + slot;
}
