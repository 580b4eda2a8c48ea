// Brings into the database what a run that died left in its journal.
import { rmSync } from 'node:fs'
import type { BatchWriter } from './batch.ts'
import { StoreError } from './driver.ts'
import { classifyFailure, isRowFault } from './failure.ts'
import { type Journal, journalFile, openJournal, readJournal } from './journal.ts'
import { type JournalPlace, readJournalPlace } from './journalPlace.ts'
import type { LedgerStats } from './ledgerStats.ts'
import type { Store } from './open.ts'

/**
 * Writes every record that the database has not, each in a transaction with its place, so that it is taken exactly once. Returns the place
 * behind the last one; settled requests are counted as recovered. Throws what SQLite throws: then the rest stays in the journal. A row that SQLite does not accept is counted as lost.
 */
export function replayJournal(
  store: Pick<Store, 'db' | 'file'>,
  writer: BatchWriter,
  stats?: LedgerStats,
): JournalPlace {
  let last = readJournalPlace(store.db)
  let count = 0
  for (const { entries, place } of readJournal(journalFile(store.file), last)) {
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
    const { epoch } = replayJournal(store, writer, stats)
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
