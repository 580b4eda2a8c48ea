// For who reads the ledger of a gateway that died: brings in what only its journal holds.
import { rmSync } from 'node:fs'
import { makeBatchWriter } from './batch.ts'
import { StoreError } from './driver.ts'
import { hasRecords, journalFile } from './journal.ts'
import { replayJournal } from './journalReplay.ts'
import { openStore } from './open.ts'

/**
 * Writes the journal that a dead run left beside a database into it, and removes it. Nothing happens where a gateway runs on the database (it
 * does so by itself, all the time) or where there is no such journal. Throws `StoreError` or what SQLite throws when it cannot be written.
 */
export function bringInLeftovers(file: string): void {
  if (!hasRecords(journalFile(file))) return
  try {
    const store = openStore({ file })
    try {
      replayJournal(store, makeBatchWriter(store.db, store.instance))
      rmSync(journalFile(file), { force: true })
    } finally {
      store.close()
    }
  } catch (error) {
    if (!(error instanceof StoreError && error.code === 'locked')) throw error
  }
}
