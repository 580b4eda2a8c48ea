// For who reads the ledger of a gateway that died: brings in what only its journal holds.
import { rmSync } from 'node:fs'
import { makeBatchWriter } from './batch.ts'
import { StoreError } from './driver.ts'
import { hasRecords, journalFile, readJournal } from './journal.ts'
import { readJournalPlace } from './journalPlace.ts'
import { replayJournal } from './journalReplay.ts'
import { openStore } from './open.ts'

/**
 * Writes what only the journal of a dead run holds into its database, and removes it. Nothing happens where a gateway runs on the database (it
 * does so by itself, all the time) or where nothing is left. Throws `StoreError` or what SQLite throws when it cannot be written.
 */
export function bringInLeftovers(file: string): void {
  if (!hasRecords(journalFile(file)) || !isBehind(file)) return
  try {
    const store = openStore({ file })
    try {
      // Nothing is served here: for who looks at the runs, the one that died stays the last, and its calls in flight.
      store.db.prepare('DELETE FROM instance WHERE id = ?').run(store.instance)
      const last = store.db.prepare('SELECT id FROM instance ORDER BY started_at DESC LIMIT 1').pluck().get()
      replayJournal(store, makeBatchWriter(store.db, (last as string | undefined) ?? ''))
      rmSync(journalFile(file), { force: true })
    } finally {
      store.close()
    }
  } catch (error) {
    if (!(error instanceof StoreError && error.code === 'locked')) throw error
  }
}

/** Asked first without the writer's lock, which a gateway that starts just now needs. */
function isBehind(file: string): boolean {
  const store = openStore({ file, readonly: true })
  try {
    return !readJournal(journalFile(file), readJournalPlace(store.db)).next().done
  } finally {
    store.close()
  }
}
