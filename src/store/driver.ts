// Loads the SQLite driver, and says in plain words what to do when its native part does not fit this Node.
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type BetterSqlite3 from 'better-sqlite3'

export type Sqlite = BetterSqlite3.Database
export type Statement = BetterSqlite3.Statement<unknown[]>
export type SqliteConstructor = typeof BetterSqlite3

/** A failure of the store that the operator must resolve. The message is complete: print it, no stack needed. */
export class StoreError extends Error {
  readonly code: StoreErrorCode
  readonly file: string

  constructor(code: StoreErrorCode, file: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'StoreError'
    this.code = code
    this.file = file
  }
}

export type StoreErrorCode =
  | 'driver_missing'
  | 'driver_mismatch'
  | 'folder'
  | 'locked'
  | 'not_a_database'
  | 'open_failed'
  | 'journal'
  | 'migration_changed'
  | 'migration_missing'
  | 'migration_invalid'
  | 'migration_failed'
  | 'newer_database'
  | 'secret'
  | 'backup_invalid'
  | 'restore'
  | 'two_logs'

const require = createRequire(import.meta.url)
let loaded: SqliteConstructor | undefined

/**
 * The better-sqlite3 constructor, tried once on an in-memory database: its native part is loaded lazily, so a plain import
 * would succeed and fail later. Throws `StoreError` `driver_missing` or `driver_mismatch`.
 * `nativeBinding` names another native file (tests).
 */
export function loadDriver(nativeBinding?: string): SqliteConstructor {
  if (loaded && nativeBinding === undefined) return loaded
  try {
    const Driver = require('better-sqlite3') as SqliteConstructor
    new Driver(':memory:', nativeBinding === undefined ? {} : { nativeBinding }).close()
    if (nativeBinding === undefined) loaded = Driver
    return Driver
  } catch (error) {
    throw explainDriverFailure(error)
  }
}

/** What a native part refers to that was compiled with headers as those of Node 24.19. */
const hook = 'RemoveEnvironmentCleanupHook'

/**
 * Why the driver may end the process, and what helps; undefined where it does not. With the headers of Node 24.19 and newer each handle that is
 * collected takes back a hook, and Node aborts ("Assertion failed: (env) != nullptr") where that is done outside of any script, as collections
 * between two turns are. Seen with 12.11.1 compiled on Node 24.21; the headers of 20.20, 22.23 and 24.18 have no such hook.
 */
export function driverTrouble(
  version: string = process.versions.node,
  nativeFile: string = join(
    dirname(require.resolve('better-sqlite3/package.json')),
    'build/Release/better_sqlite3.node',
  ),
): string | undefined {
  if (Number.parseInt(version, 10) < 24 || !existsSync(nativeFile) || !readFileSync(nativeFile).includes(hook))
    return undefined
  return (
    `better-sqlite3 was compiled with headers of Node ${version} with which the process may end at any moment ` +
    '("Assertion failed: (env) != nullptr"): run Turnout on Node 22, and `npm rebuild better-sqlite3` with that.'
  )
}

/** Turns a failed load into an instruction. */
function explainDriverFailure(error: unknown): StoreError {
  const message = error instanceof Error ? error.message : String(error)
  const code = (error as { code?: string } | undefined)?.code
  const node = `Node ${process.version} (${process.platform} ${process.arch})`
  if (code === 'MODULE_NOT_FOUND' && message.includes("'better-sqlite3'")) {
    return new StoreError(
      'driver_missing',
      'better-sqlite3',
      'The SQLite driver better-sqlite3 is not installed. Run `npm ci` in the folder of Turnout.',
      error,
    )
  }
  if (code === 'ERR_DLOPEN_FAILED') {
    return new StoreError(
      'driver_mismatch',
      'better-sqlite3',
      `The native part of better-sqlite3 does not fit ${node}: it was built for another Node version or machine. ` +
        'Run `npm rebuild better-sqlite3` with this Node.',
      error,
    )
  }
  return new StoreError(
    'driver_missing',
    'better-sqlite3',
    `The native part of better-sqlite3 is missing for ${node}: its install script was skipped or failed. ` +
      'Run `npm rebuild better-sqlite3` (npm 12 needs `allowScripts` in package.json, which Turnout sets).',
    error,
  )
}
