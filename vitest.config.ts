import { defineConfig } from "vitest/config";

// One process per file, because a test moves its process into namespaces of its own. Those that have nothing but these run two at a time
// (they wait for the kernel half of their time), those with programs and sockets of the machine alone.
const execArgv = ["--disable-warning=ExperimentalWarning"];

// How many times longer than elsewhere everything may take: an emulated machine is slow (scripts/test-kernels)
const slow = Number(process.env.PODLINK_SLOW ?? 1);
// scripts/test-faults
const long = process.env.PODLINK_FAULTS === "all";
// There it takes seconds to load a file, so that those which need no process of their own share what they load
const shared = { isolate: slow === 1 };
const apart = { pool: "forks", execArgv, maxWorkers: 2, sequence: { groupOrder: 0 } } as const;
const alone = { pool: "forks", execArgv, maxWorkers: 1, sequence: { groupOrder: 1 } } as const;
const deadlines = (seconds: number) => ({ testTimeout: seconds * 1000 * slow, hookTimeout: Math.max(seconds, 10) * 1000 * slow });

export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["test/unit/**/*.test.ts"], ...apart, ...deadlines(5) } },
      { test: { name: "kernel", include: ["test/kernel/**/*.test.ts"], ...apart, ...shared, ...deadlines(60) } },
      { test: { name: "e2e", include: ["test/e2e/**/*.test.ts"], ...alone, ...shared, ...deadlines(180) } },
      {
        test: { name: "faults", include: ["test/faults/**/*.test.ts"], ...apart, ...deadlines(long ? 3600 : 600) },
      },
      {
        test: {
          name: "clients",
          include: ["test/clients/**/*.test.ts"],
          globalSetup: ["test/support/fetch-reference.ts", "test/support/runtimes/fetch.ts"],
          ...alone,
          ...deadlines(60),
        },
      },
    ],
  },
});
