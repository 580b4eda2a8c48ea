// Finds the shared read-only test data beside the repository, and says loudly when it is missing.
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../../shared', import.meta.url))

/** Whether the shared data is there. In CI it must be: its absence there is an error, not a skip. */
export const hasShared = existsSync(root)

if (!hasShared && process.env.CI === 'true') throw new Error('../shared is required in CI and is not there')

/** Absolute path of a file of the shared data. */
export const sharedPath = (...parts: string[]): string => [root, ...parts].join('/')

/** Put into the name of a suite that needs the shared data, so that a skip says why. */
export const needsShared = hasShared ? '' : ' (skipped: ../shared is not there)'
