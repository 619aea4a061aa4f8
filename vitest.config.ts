import { defineConfig } from "vitest/config";

// unit: pure, in parallel. The others: one process per file, because a test moves its process into namespaces of its own.
const execArgv = ["--disable-warning=ExperimentalWarning"];

// How many times longer than elsewhere everything may take: an emulated machine is slow (scripts/test-kernels)
const slow = Number(process.env.PODLINK_SLOW ?? 1);
const deadlines = (seconds: number) => ({ testTimeout: seconds * 1000 * slow, hookTimeout: Math.max(seconds, 10) * 1000 * slow });

export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["test/unit/**/*.test.ts"], pool: "forks", execArgv, ...deadlines(5) } },
      { test: { name: "kernel", include: ["test/kernel/**/*.test.ts"], pool: "forks", execArgv, ...deadlines(60) } },
      { test: { name: "e2e", include: ["test/e2e/**/*.test.ts"], pool: "forks", execArgv, ...deadlines(180) } },
      { test: { name: "faults", include: ["test/faults/**/*.test.ts"], pool: "forks", execArgv, ...deadlines(600) } },
      {
        test: {
          name: "clients",
          include: ["test/clients/**/*.test.ts"],
          globalSetup: ["test/support/fetch-reference.ts", "test/support/runtimes/fetch.ts"],
          pool: "forks",
          execArgv,
          ...deadlines(60),
        },
      },
    ],
  },
});
