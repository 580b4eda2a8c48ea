// Brings into the database what a run that died left in its journal.
import { copyFileSync, linkSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { BatchWriter } from './batch.ts'
import { StoreError } from './driver.ts'
import { classifyFailure, isRowFault } from './failure.ts'
import { type Damage, type Journal, journalFile, openJournal, readJournal } from './journal.ts'
import { type JournalPlace, readJournalPlace } from './journalPlace.ts'
import type { LedgerStats } from './ledgerStats.ts'
import type { Store } from './open.ts'

/**
 * Writes every record that the database has not, each in a transaction with its place, so that it is taken exactly once. Returns the place
 * behind the last one; settled requests are counted as recovered. Throws what SQLite throws: then the rest stays in the journal. A row that
 * SQLite does not accept is counted as lost. `damage` counts what of the file could not be read; a damaged file is kept before anything behind
 * the damage is written, for who comes after a death or a failure in the middle begins behind it.
 */
export function replayJournal(
  store: Pick<Store, 'db' | 'file'>,
  writer: BatchWriter,
  stats?: LedgerStats,
  damage: Damage = { bytes: 0 },
): JournalPlace {
  let last = readJournalPlace(store.db)
  let count = 0
  let isKept = false
  for (const { entries, place } of readJournal(journalFile(store.file), last, damage)) {
    if (damage.bytes > 0 && !isKept) {
      keepJournal(journalFile(store.file))
      isKept = true
    }
    try {
      writer.write(entries, place)
    } catch (error) {
      if (!isRowFault(classifyFailure(error))) throw error
      for (const entry of entries) writeAlone(writer, entry, stats)
      writer.write([], place)
    }
    count += entries.filter(({ kind }) => kind === 'settle').length
    last = place
  }
  if (stats) stats.recovered += count
  return last
}

/** The records of a damaged journal that could be read are in the database; the file is kept, for there may be money in the rest. */
export interface DamagedJournal extends Damage {
  readonly kept: string
}

/** What is to be said of it. */
export const describeDamage = (file: string, { bytes, kept }: DamagedJournal): string =>
  `The journal of ${file} was damaged: ${bytes} bytes of it could not be read, and rows of the last moments may be missing. It is kept as ${kept}.`

/** After a replay, and before the journal is removed: keeps a damaged one, unless that was done already, also by a start that failed. */
export function keepDamaged(database: string, { bytes }: Damage): DamagedJournal | undefined {
  const file = journalFile(database)
  if (bytes > 0) return { bytes, kept: keepJournal(file) }
  const kept = keptBefore(file)
  if (kept === undefined) return undefined
  // The damage is in what that start has taken: all of the file counts.
  const damage: Damage = { bytes: 0 }
  for (const _ of readJournal(file, { epoch: 0, offset: 0 }, damage));
  return { bytes: damage.bytes, kept }
}

/** Under another name, once. Returns its path. */
function keepJournal(file: string): string {
  const before = keptBefore(file)
  if (before !== undefined) return before
  const kept = `${file}.damaged-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`
  try {
    // Needs no room, which there may be none of.
    linkSync(file, kept)
  } catch {
    // Not every file system has links.
    copyFileSync(file, kept)
  }
  return kept
}

/** A journal grows only after a replay that has ended: what was kept of this one is the same, byte by byte. */
function keptBefore(file: string): string | undefined {
  const prefix = `${basename(file)}.damaged-`
  const size = statSync(file, { throwIfNoEntry: false })?.size
  return readdirSync(dirname(file))
    .filter((name) => name.startsWith(prefix))
    .map((name) => join(dirname(file), name))
    .find((kept) => statSync(kept).size === size && readFileSync(kept).equals(readFileSync(file)))
}

/**
 * Brings in what a dead run left, and opens the journal anew, or removes it where rows shall not go through one. Throws `StoreError`: then
 * nothing that is only in the journal was touched.
 */
export function takeUpJournal(
  store: Pick<Store, 'db' | 'file'>,
  writer: BatchWriter,
  stats: LedgerStats,
  wanted: boolean,
): Journal | undefined {
  const file = journalFile(store.file)
  let doing = 'cannot be brought into the database, and is left as it is'
  try {
    const damage: Damage = { bytes: 0 }
    const { epoch } = replayJournal(store, writer, stats, damage)
    doing = 'is damaged, and cannot be kept'
    stats.damagedJournal = keepDamaged(store.file, damage)
    doing = 'cannot be removed'
    // Not written over: what is kept may be the same file by another name.
    rmSync(file, { force: true })
    doing = 'cannot be begun'
    return wanted ? openJournal(file, epoch) : undefined
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new StoreError('journal', file, `The journal ${file} ${doing}: ${reason}.`, error)
  }
}

function writeAlone(
  writer: BatchWriter,
  entry: Parameters<BatchWriter['write']>[0][number],
  stats?: LedgerStats,
): void {
  try {
    writer.write([entry])
  } catch (error) {
    const failure = classifyFailure(error)
    if (!isRowFault(failure)) throw failure
    if (!stats) return
    stats.lost++
    stats.fail(failure)
  }
}
