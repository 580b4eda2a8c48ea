// Finds and opens the ledger that `serve` would use, for commands that only read it: also beside a running gateway.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { defaults } from '../config/defaults.ts'
import { readDocument } from '../config/document.ts'
import { firstSet, readEnv } from '../config/env.ts'
import type { Env } from '../config/interpolation.ts'
import { findConfigFile } from '../config/load.ts'
import { ConfigError } from '../config/problem.ts'
import { catchUp } from '../store/leftovers.ts'
import { openStore, type Store, type StoreOptions } from '../store/open.ts'
import { openReader, type Reader } from '../store/reader.ts'
import { describeRestore } from '../store/restore.ts'
import { hashUser, loadSecret } from '../store/secret.ts'

export interface LedgerFlags {
  config?: string
  envFile?: string
  db?: string
}

export interface LedgerPlace {
  /** Absolute. */
  readonly file: string
  readonly dataDir: string
  readonly env: Env
}

/** Adds the flags that say which database is read. */
export function addLedgerOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', 'configuration that names the database, found as `serve` finds it unless given')
    .option('--env-file <file>', 'file of environment variables; `.env` is read in any case')
    .option('--db <file>', 'the database itself, whatever the configuration says')
}

/**
 * Where the ledger lies. Of the configuration only the database and the data folder are looked at: whoever reads a ledger need not
 * have the providers' keys.
 * @throws ConfigError when these two cannot be read
 */
export function findLedger(flags: LedgerFlags): LedgerPlace {
  const { env } = readEnv({ processEnv: process.env, envFile: flags.envFile })
  if (flags.db !== undefined && flags.config === undefined) {
    const file = resolve(flags.db)
    return { file, dataDir: dirname(file), env }
  }
  const written = readPlaces(findConfigFile(flags.config, env), env)
  const dataDir = resolve(written.dataDir ?? firstSet(env, ['TURNOUT_DATA_DIR'])?.value ?? defaults.dataDir)
  const file = flags.db ?? written.file ?? firstSet(env, ['TURNOUT_DB'])?.value
  return { file: file === undefined ? join(dataDir, 'turnout.db') : resolve(file), dataDir, env }
}

/** Opens the database of a command, and says on standard error when a restore that died had to be ended for it. Throws `StoreError`. */
export function openCommandStore(options: StoreOptions & ({ readonly: true } | { offline: true })): Store {
  const store = openStore(options)
  if (store.brokenRestore) tell(describeRestore(store.file, store.brokenRestore))
  return store
}

/**
 * Sees to it that whoever reads the database next finds every row of a reply that a client has got. Rejects with `StoreError` when there is
 * none, or one that this program does not know. Resolves to false where some are missing: why is said on standard error.
 */
export async function prepareLedger({ file }: Pick<LedgerPlace, 'file'>): Promise<boolean> {
  openCommandStore({ file, readonly: true }).close()
  return catchUp(file, tell)
}

/** Opens a ledger for reading, when all is there to be read. Rejects as `prepareLedger` does. */
export async function openLedgerReader(place: Pick<LedgerPlace, 'file'>): Promise<Reader> {
  await prepareLedger(place)
  return openReader(place.file)
}

const tell = (text: string): void => void process.stderr.write(`${text}\n`)

/** The hash under which a user's rows are found. Throws when the installation's secret is not at hand: a new one would find nothing. */
export function hashOf(place: LedgerPlace, user: string): string {
  if (/^u_[A-Za-z0-9_-]{22}$/.test(user)) return user
  const file = join(place.dataDir, 'secret')
  if (firstSet(place.env, ['TURNOUT_SECRET']) === undefined && !existsSync(file))
    throw new Error(`There is no ${file} and no TURNOUT_SECRET to hash the user with: give the hash (u_…) itself.`)
  return hashUser(loadSecret(place.dataDir, place.env), user)
}

function readPlaces(config: string | undefined, env: Env): { file?: string; dataDir?: string } {
  if (config === undefined) return {}
  let text: string
  try {
    text = readFileSync(config, 'utf8')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const message = code === 'ENOENT' ? 'does not exist' : `cannot be read: ${code}`
    throw new ConfigError([{ path: '', line: 0, column: 0, message }], config)
  }
  const { document, problems } = readDocument(text, env)
  const grave = problems.filter(({ path }) => path === '' || path === 'dataDir' || path === 'ledger.file')
  const data = document.data as { dataDir?: unknown; ledger?: { file?: unknown } | null } | null | undefined
  const file = data?.ledger?.file
  const dataDir = data?.dataDir
  for (const [path, value] of [
    ['dataDir', dataDir],
    ['ledger.file', file],
  ] as const) {
    if (value !== undefined && (typeof value !== 'string' || value === ''))
      grave.push({ path, ...document.locate(path.split('.')), message: 'expected a path' })
  }
  if (grave.length > 0) throw new ConfigError(grave, config)
  return { ...(file === undefined ? {} : { file: file as string }), ...(dataDir ? { dataDir: dataDir as string } : {}) }
}
