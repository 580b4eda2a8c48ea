// Copies the database while it is in use, and puts a copy back in its place, each only when it is sound.
import { closeSync, copyFileSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { loadDriver, type Sqlite, StoreError } from './driver.ts'
import { journalFile } from './journal.ts'
import { takeLock } from './lock.ts'
import { checkApplied, packageMigrations, readMigrations } from './migrate.ts'

export interface BackupResult {
  file: string
  bytes: number
  requests: number
}

/**
 * Copies everything committed so far to `to`, which must not exist. One read of the whole: a copy in steps would start anew at each commit of
 * the writer and never end. The copy is checked, made durable, and only then gets its name.
 */
export async function backupTo(db: Sqlite, to: string): Promise<BackupResult> {
  const target = resolve(to)
  if (existsSync(target))
    throw new StoreError('backup_invalid', target, `${target} exists: a backup never overwrites a file.`)
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 })
  const aside = `${target}.part`
  rmSync(aside, { force: true })
  try {
    await db.backup(aside, { progress: () => 0x7fffffff })
    const { bytes, requests } = checkCopy(aside, packageMigrations)
    syncFile(aside)
    renameSync(aside, target)
    syncFile(dirname(target))
    return { file: target, bytes, requests }
  } catch (error) {
    for (const ending of ['', '-wal', '-shm', '-journal']) rmSync(aside + ending, { force: true })
    throw error
  }
}

/**
 * Puts a backup in the place of the database `file`. Refuses (`StoreError`) while a writer holds it, and when the backup is damaged, not
 * Turnout's, or newer than the program. What was there before is kept as `FILE.before-restore-TIME`; its path is returned.
 */
export function restoreFrom(
  backup: string,
  file: string,
  options: { migrationsDir?: string | undefined; now?: number | undefined } = {},
): { requests: number; kept: string | undefined } {
  const source = resolve(backup)
  const target = resolve(file)
  if (!existsSync(source)) throw new StoreError('backup_invalid', source, `There is no backup at ${source}.`)
  const now = options.now ?? Date.now()
  mkdirSync(dirname(target), { recursive: true, mode: 0o700 })
  const lock = takeLock(target, 'restore', now)
  const aside = `${target}.restoring`
  try {
    rmSync(aside, { force: true })
    copyFileSync(source, aside)
    const { requests } = checkCopy(aside, options.migrationsDir ?? packageMigrations)
    syncFile(aside)
    const kept = setAside(target, now)
    renameSync(aside, target)
    syncFile(dirname(target))
    return { requests, kept }
  } finally {
    for (const ending of ['', '-wal', '-shm', '-journal']) rmSync(aside + ending, { force: true })
    lock.release()
  }
}

/** Moves the present database away, log and journal included: beside another database they would be played into it. */
function setAside(target: string, now: number): string | undefined {
  if (!existsSync(target)) {
    rmSync(journalFile(target), { force: true })
    return undefined
  }
  const kept = `${target}.before-restore-${new Date(now).toISOString().replaceAll(/[:.]/g, '-')}`
  for (const ending of ['-wal', '-shm', '']) {
    if (existsSync(target + ending)) renameSync(target + ending, kept + ending)
  }
  if (existsSync(journalFile(target))) renameSync(journalFile(target), journalFile(kept))
  return kept
}

/** Opens a copy, checks it whole, and leaves it as one file without a log. */
function checkCopy(file: string, migrationsDir: string): { bytes: number; requests: number } {
  const Database = loadDriver()
  let db: Sqlite | undefined
  try {
    db = new Database(file, { fileMustExist: true })
    // A copy has no log of its own; leaving WAL mode makes sure that none appears beside it.
    db.pragma('journal_mode = DELETE')
    const damage = (db.pragma('integrity_check(5)') as { integrity_check: string }[]).map((row) => row.integrity_check)
    if (damage.length !== 1 || damage[0] !== 'ok') throw new Error(damage.join('; '))
    if (!db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'migration'").get())
      throw new Error('it is not a database of Turnout')
    checkApplied(db, file, readMigrations(migrationsDir))
    const hasRequests = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'request'").get()
    const requests = hasRequests ? (db.prepare('SELECT count(*) FROM request').pluck().get() as number) : 0
    const pages = db.pragma('page_count', { simple: true }) as number
    return { bytes: pages * (db.pragma('page_size', { simple: true }) as number), requests }
  } catch (error) {
    if (error instanceof StoreError) throw error
    throw new StoreError('backup_invalid', file, `The copy ${file} is not sound: ${(error as Error).message}.`, error)
  } finally {
    db?.close()
  }
}

function syncFile(file: string): void {
  const handle = openSync(file, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
