// Brings into the database what a run that died left in its journal.
import { renameSync, rmSync } from 'node:fs'
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
 * SQLite does not accept is counted as lost. `damage` counts what of the file could not be read.
 */
export function replayJournal(
  store: Pick<Store, 'db' | 'file'>,
  writer: BatchWriter,
  stats?: LedgerStats,
  damage?: Damage,
): JournalPlace {
  let last = readJournalPlace(store.db)
  let count = 0
  for (const { entries, place } of readJournal(journalFile(store.file), last, damage)) {
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

/** After a replay: puts a damaged journal out of the way of the next one. */
export function keepDamaged(database: string, { bytes }: Damage): DamagedJournal | undefined {
  if (bytes === 0) return undefined
  const file = journalFile(database)
  const kept = `${file}.damaged-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`
  renameSync(file, kept)
  return { bytes, kept }
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
    doing = 'is damaged, and cannot be moved out of the way'
    stats.damagedJournal = keepDamaged(store.file, damage)
    doing = wanted ? 'cannot be begun' : 'cannot be removed'
    if (wanted) return openJournal(file, epoch)
    rmSync(file, { force: true })
    return undefined
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
