// Copies the database while it is in use, and checks whether a copy is sound.
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { makeFolder } from '../makeFolder.ts'
import { loadDriver, type Sqlite, StoreError } from './driver.ts'
import { checkApplied, packageMigrations, readMigrations } from './migrate.ts'
import { makePrivate } from './privateFile.ts'

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
  makeFolder(dirname(target))
  const aside = `${target}.part`
  removeCopy(aside)
  try {
    makePrivate(aside)
    await db.backup(aside, { progress: () => 0x7fffffff })
    const { bytes, requests } = checkCopy(aside, packageMigrations)
    syncFile(aside)
    renameSync(aside, target)
    syncFile(dirname(target))
    return { file: target, bytes, requests }
  } catch (error) {
    removeCopy(aside)
    throw error
  }
}

/** Ends of the names of the files that SQLite may make of a database, its own among them. */
export const copyParts = ['', '-wal', '-shm', '-journal'] as const

/** Whether anything was there. */
export function removeCopy(file: string): boolean {
  const parts = copyParts.map((ending) => file + ending).filter((part) => existsSync(part))
  for (const part of parts) rmSync(part, { force: true })
  return parts.length > 0
}

/** Opens a copy, checks it whole, and leaves it as one file without a log. @param named the file that is spoken of where it is not sound */
export function checkCopy(file: string, migrationsDir: string, named = file): { bytes: number; requests: number } {
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
    checkApplied(db, named, readMigrations(migrationsDir))
    const hasRequests = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'request'").get()
    const requests = hasRequests ? (db.prepare('SELECT count(*) FROM request').pluck().get() as number) : 0
    const pages = db.pragma('page_count', { simple: true }) as number
    return { bytes: pages * (db.pragma('page_size', { simple: true }) as number), requests }
  } catch (error) {
    if (error instanceof StoreError) throw error
    throw new StoreError('backup_invalid', named, `The copy ${named} is not sound: ${(error as Error).message}.`, error)
  } finally {
    db?.close()
  }
}

/** Waits until a file, or the names in a folder, are on the disk. */
export function syncFile(file: string): void {
  const handle = openSync(file, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
