// Puts a backup in the place of the database so that a death at any moment leaves the one or the other, whole.
import { chmodSync, copyFileSync, existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { makeFolder } from '../makeFolder.ts'
import { checkCopy, copyParts, removeCopy, syncFile } from './backup.ts'
import { StoreError } from './driver.ts'
import { journalFile } from './journal.ts'
import { takeLock } from './lock.ts'
import { packageMigrations } from './migrate.ts'
import { putOthersAside, takeLogBack } from './strayLog.ts'

/*
 * The backup is copied beside the database (`FILE.restoring`), checked and synced. Then a note (`FILE.restore`) appears, whole, by a
 * rename: before it nothing of the old database is touched, from it on the restore is decided. What follows is renames, which whoever
 * opens the database next does again from where they ended: as long as the copy is there, all beside it is old and is moved away;
 * the copy goes to its place last; then the note goes.
 */
const copyOf = (file: string): string => `${file}.restoring`
const noteOf = (file: string): string => `${file}.restore`
const newNoteOf = (file: string): string => `${noteOf(file)}.new`

/** What belongs to a database: beside another one it would be played into it. */
const partsOf = (file: string): string[] => [...copyParts.map((ending) => file + ending), journalFile(file)]

/** What is decided. `kept` is a name in the same folder, for what was there before. */
interface Note {
  from: string
  kept: string
}

/** How a restore that died was ended by who came next: `undone` before it was decided, `finished` from then on. */
export interface BrokenRestore {
  readonly outcome: 'finished' | 'undone'
  /** The backup that is in place now. */
  readonly from?: string
  /** Where the database is that was there before, if there was one. */
  readonly kept?: string | undefined
}

/**
 * Puts a backup in the place of the database `file`. Refuses (`StoreError`) while a writer holds it, and when the backup is damaged, not
 * Turnout's, or newer than the program. What was there before is kept as `FILE.before-restore-TIME`; its path is returned. `broken`: an
 * earlier restore that died, and was ended first.
 */
export function restoreFrom(
  backup: string,
  file: string,
  options: { migrationsDir?: string | undefined; now?: number | undefined } = {},
): { requests: number; kept: string | undefined; broken?: BrokenRestore } {
  const source = resolve(backup)
  const target = resolve(file)
  if (!existsSync(source)) throw new StoreError('backup_invalid', source, `There is no backup at ${source}.`)
  // A backup is one file. Without these a database that was not closed lacks its newest rows.
  const beside = [`${source}-wal`, journalFile(source)].find(
    (part) => (statSync(part, { throwIfNoEntry: false })?.size ?? 0) > 16,
  )
  if (beside !== undefined) {
    throw new StoreError(
      'backup_invalid',
      source,
      `Rows of ${source} are in ${beside}: it is in use or was not closed. Restore a backup of it (turnout backup --db ${source} FILE).`,
    )
  }
  const now = options.now ?? Date.now()
  makeFolder(dirname(target))
  const lock = takeLock(target, 'restore', now)
  try {
    // A note without its copy and without a database has nothing left to finish: this restore takes its place.
    if (!existsSync(copyOf(target)) && !existsSync(target)) rmSync(noteOf(target), { force: true })
    const broken = endBrokenRestore(target)
    // What was there before is kept with all that it holds.
    putOthersAside(target, now)
    takeLogBack(target)
    const requests = takeCopy(source, target, options.migrationsDir ?? packageMigrations)
    const kept = `${basename(target)}.before-restore-${new Date(now).toISOString().replaceAll(/[:.]/g, '-')}`
    decide(target, { from: source, kept })
    return { requests, kept: finish(target).kept, ...(broken ? { broken } : {}) }
  } finally {
    lock.release()
  }
}

/** Whether a restore was decided and has not ended: the database must not be looked at before it has. */
export const isRestoring = (file: string): boolean => existsSync(noteOf(file))

/**
 * Ends what a restore that died left behind; undefined when there is nothing of the kind. Only for who holds the writer's lock. Safe to
 * die in, too. Throws `StoreError` when it cannot be ended; then the next one may try.
 */
export function endBrokenRestore(file: string): BrokenRestore | undefined {
  if (isRestoring(file)) return finish(file)
  // A half copy, and a note that was never there for anybody: they are nothing.
  rmSync(newNoteOf(file), { force: true })
  return removeCopy(copyOf(file)) ? { outcome: 'undone' } : undefined
}

/** What is to be said of it. */
export function describeRestore(file: string, { outcome, from, kept }: BrokenRestore): string {
  if (outcome === 'undone') return `A restore of ${file} ended before it changed anything: the database is as it was.`
  const before = kept === undefined ? '' : ` What was there before is now ${kept}.`
  return `A restore of ${file} from ${from} ended in the middle, and was finished now.${before}`
}

/** Copies and checks; returns the number of requests. Nothing of it is left when it throws. */
function takeCopy(source: string, target: string, migrationsDir: string): number {
  const copy = copyOf(target)
  removeCopy(copy)
  try {
    copyFileSync(source, copy)
    chmodSync(copy, 0o600)
    const { requests } = checkCopy(copy, migrationsDir, source)
    syncFile(copy)
    return requests
  } catch (error) {
    removeCopy(copy)
    throw error
  }
}

function decide(target: string, note: Note): void {
  const aside = newNoteOf(target)
  writeFileSync(aside, `${JSON.stringify(note)}\n`, { mode: 0o600 })
  syncFile(aside)
  // The copy's name must be on the disk before the note's.
  syncFile(dirname(target))
  renameSync(aside, noteOf(target))
  syncFile(dirname(target))
}

/** From the note on: the same from wherever it ended before. */
function finish(target: string): BrokenRestore & { outcome: 'finished' } {
  try {
    const { from, kept: name } = JSON.parse(readFileSync(noteOf(target), 'utf8')) as Note
    const kept = join(dirname(target), name)
    if (existsSync(copyOf(target))) {
      const keptParts = partsOf(kept)
      for (const [place, part] of partsOf(target).entries())
        if (existsSync(part)) renameSync(part, keptParts[place] as string)
      syncFile(dirname(target))
      renameSync(copyOf(target), target)
      syncFile(dirname(target))
    } else if (!existsSync(target)) throw new Error(`the copy ${copyOf(target)} is gone. Restore the backup again`)
    rmSync(noteOf(target))
    syncFile(dirname(target))
    return { outcome: 'finished', from, kept: partsOf(kept).some((part) => existsSync(part)) ? kept : undefined }
  } catch (error) {
    const reason = (error as Error).message
    throw new StoreError(
      'restore',
      target,
      `A restore of ${target} was begun and cannot be finished: ${reason}.`,
      error,
    )
  }
}
