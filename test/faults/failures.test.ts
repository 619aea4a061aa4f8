import { failEverywhere } from "../support/faults/refusals.ts";
import { eachType } from "../support/faults/types.ts";

eachType("with each change of a file or a sysctl failing", ["ADD", "DEL", "GC"], failEverywhere);
