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

/** Compiled for one Node, and writes a row in two thirds of the time that the other takes. */
const compiled = 'better-sqlite3'

/** Release 13. Its native part comes with the package and fits every Node with Node-API 10, which is 22.14 and newer. */
const readyMade = 'better-sqlite3-napi'

let loaded: { name: string; Driver: SqliteConstructor } | undefined

/**
 * The better-sqlite3 constructor, tried once on an in-memory database: its native part is loaded lazily, so a plain import
 * would succeed and fail later. Throws `StoreError` `driver_missing` or `driver_mismatch`.
 * `nativeBinding` names another native file (tests).
 */
export function loadDriver(nativeBinding?: string): SqliteConstructor {
  if (nativeBinding !== undefined) return firstThatLoads({ nativeBinding }).Driver
  loaded ??= firstThatLoads({})
  return loaded.Driver
}

/** The compiled one, unless it may end the process. */
function firstThatLoads(options: BetterSqlite3.Options): NonNullable<typeof loaded> {
  let failure: unknown
  for (const name of whyUnsound() === undefined ? [compiled, readyMade] : [readyMade, compiled]) {
    try {
      const Driver = require(name) as SqliteConstructor
      new Driver(':memory:', options).close()
      return { name, Driver }
    } catch (error) {
      // What is installed and does not load says more than what is not installed.
      if (failure === undefined || isAbsent(failure)) failure = error
    }
  }
  throw explainDriverFailure(failure)
}

/** The package that `loadDriver` takes, and throws as it does. */
export function driverPackage(): string {
  loadDriver()
  return loaded!.name
}

/** Which release that is, as `better-sqlite3 13.2.0`. Throws as `loadDriver` does. */
export function driverRelease(): string {
  const { name, version } = require(`${driverPackage()}/package.json`) as { name: string; version: string }
  return `${name} ${version}`
}

/** What a native part refers to that was compiled with headers as those of Node 24.19. */
const hook = 'RemoveEnvironmentCleanupHook'

/** Why the driver that `loadDriver` takes may end the process, and what helps; undefined where it does not. Throws as `loadDriver` does. */
export const driverTrouble = (): string | undefined => (driverPackage() === compiled ? whyUnsound() : undefined)

/**
 * Why the compiled driver may end the process, and what helps; undefined where it does not. With the headers of Node 24.19 and newer each handle
 * that is collected takes back a hook, and Node aborts ("Assertion failed: (env) != nullptr") where that is done outside of any script, as
 * collections between two turns are. Seen with 12.11.1 compiled on Node 24.21; the headers of 20.20, 22.23 and 24.18 have no such hook.
 */
export function whyUnsound(
  version: string = process.versions.node,
  nativeFile: string | undefined = compiledPart(),
): string | undefined {
  if (nativeFile === undefined || Number.parseInt(version, 10) < 24) return undefined
  if (!existsSync(nativeFile) || !readFileSync(nativeFile).includes(hook)) return undefined
  return (
    `better-sqlite3 was compiled with headers of Node ${version} with which the process may end at any moment ` +
    '("Assertion failed: (env) != nullptr"): run `npm ci` with this Node, which brings a driver that needs no compiling. ' +
    'Where there is none for this machine, run Turnout on Node 22.'
  )
}

function compiledPart(): string | undefined {
  try {
    return join(dirname(require.resolve(`${compiled}/package.json`)), 'build/Release/better_sqlite3.node')
  } catch (error) {
    if (isAbsent(error)) return undefined
    throw error
  }
}

const isAbsent = (error: unknown): boolean =>
  (error as { code?: string } | undefined)?.code === 'MODULE_NOT_FOUND' &&
  [compiled, readyMade].some((name) => (error as Error).message.includes(`'${name}`))

/** Turns a failed load into an instruction. */
function explainDriverFailure(error: unknown): StoreError {
  const code = (error as { code?: string } | undefined)?.code
  const node = `Node ${process.version} (${process.platform} ${process.arch})`
  if (isAbsent(error)) {
    return new StoreError(
      'driver_missing',
      'better-sqlite3',
      `No SQLite driver is installed for ${node}: it could not be installed, or optional packages were left out. Run \`npm ci\` in the ` +
        'folder of Turnout; Node before 22.14 needs python3, make and a C++ compiler for it.',
      error,
    )
  }
  if (code === 'ERR_DLOPEN_FAILED') {
    return new StoreError(
      'driver_mismatch',
      'better-sqlite3',
      `The native part of better-sqlite3 does not fit ${node}: it was built for another Node version or machine. ` +
        'Run `npm ci` with this Node in the folder of Turnout.',
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
