// Brings a database to the program's schema: numbered SQL files, each applied once, in one transaction, and never changed after.
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { packageFolder } from '../packageFolder.ts'
import { type Sqlite, StoreError } from './driver.ts'

export interface Migration {
  number: number
  name: string
  sql: string
  /** Hex SHA-256 of the text with line ends as LF, so that a checkout with CRLF is the same file. */
  checksum: string
}

interface Applied {
  number: number
  name: string
  checksum: string
}

/** `migrations/` of this package. */
export const packageMigrations: string = join(packageFolder, 'migrations')

/** Reads `NNNN_name.sql` files in order. Throws `StoreError` `migration_invalid` on odd names, gaps and doubles. */
export function readMigrations(folder: string): Migration[] {
  let names: string[]
  try {
    names = readdirSync(folder).filter((name) => name.endsWith('.sql'))
  } catch (error) {
    throw new StoreError('migration_invalid', folder, `The migrations folder ${folder} cannot be read.`, error)
  }
  const migrations = names.sort().map((name) => readMigration(folder, name))
  migrations.forEach((migration, index) => {
    if (migration.number === index + 1) return
    throw invalid(folder, `expected number ${index + 1} but found ${migration.name}: numbers run from 1 without gaps`)
  })
  return migrations
}

/**
 * Applies what is missing, up to `upTo` (tests), and returns the numbers applied. Refuses by throwing `StoreError` when an applied file
 * was changed or is gone, when the database is newer than the program, and when a file fails (rolled back). The caller holds the
 * single-writer lock. `begun` is told before a database of an older program is changed: a large one takes its time.
 */
export function migrate(
  db: Sqlite,
  file: string,
  migrations: readonly Migration[],
  now: number,
  upTo?: number,
  begun?: (pending: readonly Migration[], from: number) => void,
): number[] {
  db.exec(`CREATE TABLE IF NOT EXISTS migration (
    number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL
  ) STRICT`)
  checkApplied(db, file, migrations)
  const done = readApplied(db).length
  const pending = migrations.slice(done, upTo)
  if (done > 0 && pending.length > 0) begun?.(pending, done)
  for (const migration of pending) apply(db, file, migration, now)
  return pending.map((migration) => migration.number)
}

/** Throws `StoreError` unless what the database has is what the program knows: the same files, unchanged, and none beyond. */
export function checkApplied(db: Sqlite, file: string, migrations: readonly Migration[]): void {
  const applied = readApplied(db)
  const newest = applied.at(-1)
  if (newest && newest.number > migrations.length) {
    throw new StoreError(
      'newer_database',
      file,
      `The database ${file} is newer than this program: it has migration ${newest.name}, this program knows ${migrations.length}. ` +
        'Run the newer Turnout, or restore a backup made by this version.',
    )
  }
  applied.forEach((row, index) => {
    const known = migrations[index]
    if (row.number !== index + 1 || !known || known.name !== row.name) {
      throw new StoreError(
        'migration_missing',
        file,
        `The database ${file} has migration ${row.name}, which is missing from this program's migrations folder.`,
      )
    }
    if (known.checksum !== row.checksum) {
      throw new StoreError(
        'migration_changed',
        file,
        `Migration ${row.name} was changed after it was applied to ${file} ` +
          `(checksum ${known.checksum.slice(0, 12)}, applied ${row.checksum.slice(0, 12)}). Restore the file and add a new one instead.`,
      )
    }
  })
}

/** Whether it is of an older program: opened to be written, it would be changed. */
export const isOlder = (db: Sqlite, migrations: readonly Migration[]): boolean =>
  readApplied(db).length < migrations.length

function apply(db: Sqlite, file: string, migration: Migration, now: number): void {
  db.exec('BEGIN IMMEDIATE')
  try {
    db.exec(migration.sql)
    if (!db.inTransaction) throw new Error('it ended the transaction by itself')
    db.prepare('INSERT INTO migration (number, name, checksum, applied_at) VALUES (?, ?, ?, ?)').run(
      migration.number,
      migration.name,
      migration.checksum,
      now,
    )
    db.exec('COMMIT')
  } catch (error) {
    if (db.inTransaction) db.exec('ROLLBACK')
    const reason = error instanceof Error ? error.message : String(error)
    throw new StoreError(
      'migration_failed',
      file,
      `Migration ${migration.name} failed on ${file} and was rolled back: ${reason}. The database is as it was before it.`,
      error,
    )
  }
}

function readApplied(db: Sqlite): Applied[] {
  const exists = db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migration'").get()
  if (!exists) return []
  return db.prepare('SELECT number, name, checksum FROM migration ORDER BY number').all() as Applied[]
}

function readMigration(folder: string, name: string): Migration {
  const match = /^(\d{4})_[a-z0-9_]+\.sql$/.exec(name)
  if (!match) throw invalid(folder, `${name} is not named like 0001_name.sql`)
  const sql = readFileSync(join(folder, name), 'utf8').replaceAll('\r\n', '\n')
  // A transaction of its own would break "all of the file or nothing of it".
  if (/^\s*(COMMIT|ROLLBACK|BEGIN\s+(IMMEDIATE|EXCLUSIVE|DEFERRED|TRANSACTION))\b/im.test(sql)) {
    throw invalid(folder, `${name} begins or ends a transaction: the runner does that`)
  }
  return { number: Number(match[1]), name, sql, checksum: createHash('sha256').update(sql).digest('hex') }
}

function invalid(folder: string, what: string): StoreError {
  return new StoreError('migration_invalid', folder, `The migrations folder ${folder} is not valid: ${what}.`)
}
