import { defineConfig } from 'vitest/config'

// Times are for a machine that is ten times slower than any that was seen: a test that passes never waits for them.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts', 'src/**/*.test.ts'],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    teardownTimeout: 60_000,
    setupFiles: ['test/support/clearOfMidnight.ts'],
    expect: { poll: { timeout: 60_000, interval: 20 } },
    pool: 'forks',
    maxWorkers: 2,
  },
})
