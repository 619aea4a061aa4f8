let isSaid = false;

/**
 * Says that loops over thousands of items are ahead: machine code is made for them from now on. The executable starts without
 * (scripts/lib/executable.ts), because in the milliseconds that a call lasts nothing makes up for the time that making it takes.
 */
export function expectLongLoops(): void {
  if (isSaid) return;
  isSaid = true;
  process.getBuiltinModule("node:v8").setFlagsFromString("--maglev");
}
