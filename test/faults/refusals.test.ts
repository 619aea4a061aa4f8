import { refuseEverywhere } from "../support/faults/refusals.ts";
import { eachType } from "../support/faults/types.ts";

eachType("with each change refused by the kernel", ["ADD", "DEL", "GC"], refuseEverywhere);
