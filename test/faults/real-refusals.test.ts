import { refuseReally } from "../support/faults/refusals.ts";
import { eachType } from "../support/faults/types.ts";

eachType("on a node where the kernel refuses by itself", ["ADD"], refuseReally);
