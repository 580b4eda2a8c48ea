// Opens the database file: folder, lock, restores that died, settings, migrations, and the row that says this process runs on it.
import { randomBytes } from 'node:crypto'
import { accessSync, constants, existsSync, mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { makeFolder } from '../makeFolder.ts'
import { loadDriver, type Sqlite, StoreError } from './driver.ts'
import { takeLock, type WriterLock } from './lock.ts'
import { checkApplied, migrate, packageMigrations, readMigrations } from './migrate.ts'
import { readOlderRows } from './olderRows.ts'
import { makePrivate } from './privateFile.ts'
import { type BrokenRestore, endBrokenRestore, isRestoring } from './restore.ts'
import { strayLogOf, takeLogBack } from './strayLog.ts'

export interface StoreOptions {
  /** Path of the database. Its folder is made with mode 0700 when it is missing. */
  file: string
  migrationsDir?: string | undefined
  /** Reads only: takes no lock, applies no migration, writes no row. Works beside a running writer. */
  readonly?: boolean | undefined
  /**
   * Writes, but is no run of the gateway: leaves no instance row. The newest one says which calls are in flight, since when, and what
   * the next start goes on from.
   */
  offline?: boolean | undefined
  /** The program's version, for the instance row. */
  version?: string | undefined
  /** Unix milliseconds; tests inject it. */
  now?: (() => number) | undefined
  /** Told before a database of an older program is changed: how many migrations it has, and gets. */
  migrating?: ((from: number, to: number) => void) | undefined
}

export interface Store {
  readonly file: string
  readonly db: Sqlite
  readonly readonly: boolean
  /** Random id of this run of the program; empty for a read-only or offline store. */
  readonly instance: string
  /** A restore that died, and was ended while opening. */
  readonly brokenRestore: BrokenRestore | undefined
  /** Numbers of the migrations applied while opening. */
  readonly migrated: readonly number[]
  /** Sees to it that no other process can become the writer, also where somebody removed the lock's file. Throws `StoreError` where one has. */
  keepLock(): void
  /** Marks the run as stopped cleanly and frees the file. Safe to call twice. */
  close(): void
}

/**
 * Opens the store. Throws `StoreError` with a message to print as it is: driver trouble, folder not writable, file held by another
 * process (`locked`), migrations refused. Nothing stays open or locked after a throw.
 */
export function openStore(options: StoreOptions): Store {
  const file = resolve(options.file)
  return options.readonly ? openReader(file, options) : openWriter(file, options)
}

function openWriter(file: string, options: StoreOptions): Store {
  const Database = loadDriver()
  const now = options.now ?? Date.now
  const migrations = readMigrations(options.migrationsDir ?? packageMigrations)
  try {
    makeFolder(dirname(file))
  } catch (error) {
    const reason = reasonOf(whyNotMade(dirname(file)) ?? error)
    throw new StoreError('folder', file, `The data folder ${dirname(file)} cannot be made: ${reason}.`, error)
  }
  const instance = options.offline ? '' : randomBytes(8).toString('hex')
  const startedAt = now()
  let lock: WriterLock | undefined
  let db: Sqlite | undefined
  try {
    lock = takeLock(file, instance || 'command line', startedAt)
    const brokenRestore = endBrokenRestore(file)
    takeLogBack(file)
    makePrivate(file)
    // Busy wait 0: the driver's wait would sleep in the event loop. Writers retry by themselves.
    db = new Database(file, { timeout: 0 })
    const tables = tablesOf(db)
    if (tables.length > 0 && !tables.includes('migration'))
      throw new StoreError('not_a_database', file, `The file ${file} is the database of another program.`)
    applySettings(db)
    const migrated = migrate(db, file, migrations, startedAt, undefined, (pending, from) =>
      options.migrating?.(from, from + pending.length),
    )
    if (!options.offline) {
      db.prepare(
        'INSERT INTO instance (id, pid, host, version, started_at, heartbeat_at) VALUES (@id, @pid, @host, @version, @at, @at)',
      ).run({ id: instance, pid: process.pid, host: lock.holder.host, version: options.version ?? '', at: startedAt })
    }
    return makeWriter(db, lock, { file, readonly: false, instance, migrated, brokenRestore }, now)
  } catch (error) {
    db?.close()
    lock?.release()
    throw explainOpenFailure(file, error)
  }
}

function makeWriter(
  db: Sqlite,
  lock: WriterLock,
  facts: Omit<Store, 'db' | 'keepLock' | 'close'>,
  now: () => number,
): Store {
  return {
    ...facts,
    db,
    keepLock: () => lock.keep(),
    close() {
      if (!db.open) return
      try {
        if (facts.instance !== '') {
          db.prepare(
            'UPDATE instance SET stopped_at = @at, heartbeat_at = max(heartbeat_at, @at) WHERE id = @instance',
          ).run({ at: now(), instance: facts.instance })
        }
      } catch {
        // Locked, full, read-only: the next start finds what a kill leaves, and all that counts is in it.
      } finally {
        db.close()
        lock.release()
      }
    },
  }
}

function openReader(file: string, options: StoreOptions): Store {
  const Database = loadDriver()
  const brokenRestore = isRestoring(file) ? endForReader(file, (options.now ?? Date.now)()) : undefined
  if (!existsSync(file)) throw new StoreError('open_failed', file, `There is no database at ${file}.`)
  if (strayLogOf(file) !== undefined) takeBackForReader(file, (options.now ?? Date.now)())
  let db: Sqlite | undefined
  try {
    db = new Database(file, { readonly: true, fileMustExist: true, timeout: 5000 })
    if (!tablesOf(db).includes('migration'))
      throw new StoreError('not_a_database', file, `The file ${file} is empty, or the database of another program.`)
    checkApplied(db, file, readMigrations(options.migrationsDir ?? packageMigrations))
    readOlderRows(db)
  } catch (error) {
    db?.close()
    throw explainOpenFailure(file, error)
  }
  const opened = db
  const facts = { file, readonly: true, instance: '', migrated: [], brokenRestore }
  return { ...facts, db: opened, keepLock() {}, close: () => void opened.close() }
}

/** Who only reads ends a restore, too: half of it is nothing to read. */
function endForReader(file: string, now: number): BrokenRestore | undefined {
  let lock: WriterLock | undefined
  try {
    lock = takeLock(file, 'command line', now)
    return endBrokenRestore(file)
  } catch (error) {
    if (!(error instanceof StoreError && error.code === 'locked')) throw explainOpenFailure(file, error)
    throw new StoreError('locked', file, `A backup is being put in the place of ${file} right now: try again.`, error)
  } finally {
    lock?.release()
  }
}

/** A gateway that runs does it by itself: until then the last rows are not there, and what SQLite makes for a reader would be in its way. */
function takeBackForReader(file: string, now: number): void {
  let lock: WriterLock | undefined
  try {
    lock = takeLock(file, 'command line', now)
    takeLogBack(file)
  } catch (error) {
    if (!(error instanceof StoreError && error.code === 'locked')) throw explainOpenFailure(file, error)
    throw new StoreError(
      'locked',
      file,
      `The last rows of ${file} are in a log that the gateway puts back within seconds: try again. Where it does not, it runs on another file: stop it first.`,
      error,
    )
  } finally {
    lock?.release()
  }
}

const tablesOf = (db: Sqlite): unknown[] =>
  db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").pluck().all()

/** Settings of the writing connection. */
function applySettings(db: Sqlite): void {
  db.pragma('journal_mode = WAL')
  // With WAL, NORMAL survives the death of the process; a power cut may take the last commits. The ledger's `power` mode raises it.
  db.pragma('synchronous = NORMAL')
  db.pragma('foreign_keys = ON')
  // The first commit after a checkpoint waits for the disk, so checkpoints are made elsewhere and never by the writer's commit.
  db.pragma('wal_autocheckpoint = 0')
  db.pragma('journal_size_limit = 67108864')
}

/** Node says ENOENT of a folder on a read-only disk that it is to make with all above it; what is wrong says the first that is missing. */
function whyNotMade(folder: string): unknown {
  const above = dirname(folder)
  if (above !== folder && !existsSync(above)) return whyNotMade(above)
  try {
    mkdirSync(folder, { mode: 0o700 })
    return undefined
  } catch (error) {
    return error
  }
}

function explainOpenFailure(file: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const code = (error as { code?: string }).code
  if (code === 'SQLITE_NOTADB' || code === 'SQLITE_CORRUPT') {
    return new StoreError(
      'not_a_database',
      file,
      `The file ${file} is not a sound SQLite database: ${reasonOf(error)}. Restore a backup, or give another file (TURNOUT_DB).`,
      error,
    )
  }
  return new StoreError(
    'open_failed',
    file,
    `The database ${file} cannot be opened: ${reasonOf(error)}.${whoMayNot(file)}`,
    error,
  )
}

/** What SQLite leaves out: whom the system does not let do what, and that it writes beside the file where one only reads. */
function whoMayNot(file: string): string {
  const may = (path: string, what: number): boolean => {
    try {
      accessSync(path, what)
      return true
    } catch {
      return false
    }
  }
  const folder = dirname(file)
  if (existsSync(file) && !may(file, constants.R_OK)) return ' This user may not read it.'
  if (!may(folder, constants.W_OK))
    return ` Nothing can be written in ${folder}, which SQLite has to do also for who only reads: give this user the right, or look at a backup.`
  return may(file, constants.W_OK) ? '' : ' This user may not write to it.'
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
