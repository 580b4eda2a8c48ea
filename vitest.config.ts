import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

// Times are for a machine that is ten times slower than any that was seen: a test that passes never waits for them.
export default defineConfig({
  // Threads of the gateway run what is compiled, as they do where it is shipped.
  resolve: {
    alias: [
      { find: /^(\.\.\/)+thread\.ts$/, replacement: fileURLToPath(new URL('test/support/thread.ts', import.meta.url)) },
    ],
  },
  test: {
    include: ['test/**/*.test.ts', 'src/**/*.test.ts'],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    teardownTimeout: 60_000,
    globalSetup: ['test/support/buildFirst.ts'],
    setupFiles: ['test/support/clearOfMidnight.ts'],
    expect: { poll: { timeout: 60_000, interval: 20 } },
    pool: 'forks',
    maxWorkers: 2,
  },
})
