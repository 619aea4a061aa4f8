import { killEverywhere } from "../support/faults/kills.ts";
import { eachType } from "../support/faults/types.ts";

eachType("killed at each change", ["CHECK", "DEL", "GC"], killEverywhere);
