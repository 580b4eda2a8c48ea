// Lets one process at a time write a database file, and tells the others who holds it.
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { loadDriver, type Sqlite, StoreError } from './driver.ts'
import { nameOfFile } from './sameFile.ts'

/** Who holds a database. `startedAt` is Unix milliseconds. */
export interface Holder {
  pid: number
  host: string
  startedAt: number
  instance: string
}

export interface WriterLock {
  readonly holder: Holder
  /** Takes it again where its file was removed. Throws `StoreError` `locked` where another process was faster. */
  keep(): void
  /** Frees the file. Safe to call twice. */
  release(): void
}

/**
 * Takes the single-writer lock of `file` or throws `StoreError` `locked`, which names the file and the holder's pid.
 *
 * The lock is an exclusive transaction on a sidecar database (`FILE.lock`): SQLite holds it as an OS file lock, so it is gone the
 * moment the process is, however it dies, and there is no stale pid file to argue with. The sidecar is never opened with `fs`:
 * POSIX drops all of a process's locks on a file when any of its descriptors on it is closed. Hence the holder's name is
 * in another file, `FILE.holder`, which is only information.
 */
export function takeLock(file: string, instance: string, now: number): WriterLock {
  const holder: Holder = { pid: process.pid, host: hostname(), startedAt: now, instance }
  let db = lockFile(file)
  let name = nameOfFile(`${file}.lock`)
  // Written aside and renamed, so that a reader never sees half of it.
  writeFileSync(`${file}.holder.new`, `${JSON.stringify(holder)}\n`, { mode: 0o600 })
  renameSync(`${file}.holder.new`, `${file}.holder`)
  return {
    holder,
    keep() {
      if (!db.open || nameOfFile(`${file}.lock`) === name) return
      const again = lockFile(file)
      db.close()
      db = again
      name = nameOfFile(`${file}.lock`)
    },
    release() {
      if (!db.open) return
      // Where the folder was taken away another process may hold what stands there now.
      const named = readHolder(file)
      try {
        if (named?.pid === holder.pid && named.instance === instance) rmSync(`${file}.holder`, { force: true })
      } catch {
        // In a folder that may not be written any more: it is only information.
      }
      db.close()
    },
  }
}

function lockFile(file: string): Sqlite {
  const Database = loadDriver()
  const db = new Database(`${file}.lock`, { timeout: 0 })
  try {
    db.exec('BEGIN EXCLUSIVE')
    return db
  } catch (error) {
    db.close()
    if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error
    throw new StoreError('locked', file, describeHolder(file), error)
  }
}

/** Whether a process holds `file` now; leaves no trace. */
export function isHeld(file: string): boolean {
  const Database = loadDriver()
  const db = new Database(`${file}.lock`, { timeout: 0 })
  try {
    db.exec('BEGIN EXCLUSIVE')
    return false
  } catch (error) {
    if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error
    return true
  } finally {
    db.close()
  }
}

/** The last known holder of `file`; undefined when there is no readable note of one. */
export function readHolder(file: string): Holder | undefined {
  try {
    const value = JSON.parse(readFileSync(`${file}.holder`, 'utf8')) as Holder
    return typeof value.pid === 'number' && typeof value.host === 'string' ? value : undefined
  } catch {
    return undefined
  }
}

/** Why `file` cannot be opened to be written, while another process holds it. */
export function describeHolder(file: string): string {
  const holder = readHolder(file)
  const who = holder
    ? `by process ${holder.pid} on ${holder.host}, since ${new Date(holder.startedAt).toISOString()} (instance ${holder.instance})`
    : 'by another process'
  return `The database ${file} is already in use ${who}. One database has one writer: stop that process, or give this one another file (TURNOUT_DB).`
}
