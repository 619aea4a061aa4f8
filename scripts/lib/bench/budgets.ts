/** What `npm run bench -- --quick` holds podlink to. Only ratios of one run, and counts: a busy machine must not break them. */
export const budgets = {
  // Processor time of VERSION by that of a program of the same Node that prints a constant: 1.04 to 1.1
  "VERSION over the floor": 1.25,
  // Processor time until every module of type bridge has run its top level, by that of the same loader without any: 1.14 to 1.42
  "our modules over the floor": 1.55,

  // System calls of the process's first thread beyond those of a program of the same Node that prints a constant, of the second container on
  // a node: what was counted (strace) when the budget was set, and a tenth. Above it, something is read twice or asked for in parts
  "system calls, VERSION": 12,
  "system calls, loopback ADD": 28,
  "system calls, loopback DEL": 22,
  "system calls, bridge ADD": 140,
  "system calls, bridge DEL": 58,
  "system calls, podlink ADD": 320,
  "system calls, podlink DEL": 190,

  // What Node reads and compiles for a call, in KB of minified script: a library that is pulled in shows here first
  "script of the core types, KB": 190,
  "script of type podlink, KB": 260,
  "script that every call starts with, KB": 1,
  // The base Node is 111 MB without its symbols; the scripts with their code caches come on top
  "executable, MB": 125,
} as const;

export type Budget = keyof typeof budgets;
