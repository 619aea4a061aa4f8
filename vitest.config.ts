import { defineConfig } from "vitest/config";

// unit: pure, in parallel. kernel, e2e and clients: one process per file, because a test moves its process into namespaces of its own.
const execArgv = ["--disable-warning=ExperimentalWarning"];

export default defineConfig({
  test: {
    projects: [
      { test: { name: "unit", include: ["test/unit/**/*.test.ts"], pool: "forks", execArgv } },
      { test: { name: "kernel", include: ["test/kernel/**/*.test.ts"], pool: "forks", execArgv, testTimeout: 60_000 } },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          pool: "forks",
          execArgv,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
      {
        test: {
          name: "clients",
          include: ["test/clients/**/*.test.ts"],
          globalSetup: ["test/support/fetch-reference.ts", "test/support/runtimes/fetch.ts"],
          pool: "forks",
          execArgv,
          testTimeout: 60_000,
        },
      },
    ],
  },
});
