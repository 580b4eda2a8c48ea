// Up to where the database holds what is in the journal: two marks that are committed with the rows.
import type { Sqlite, Statement } from './driver.ts'

/** `epoch` grows each time the journal is begun anew; `offset` is in bytes, behind the last record taken. */
export interface JournalPlace {
  readonly epoch: number
  readonly offset: number
}

export function readJournalPlace(db: Sqlite): JournalPlace {
  const read: Statement = db.prepare('SELECT value FROM ledger_mark WHERE mark = ?').pluck()
  const look = (mark: string): number => (read.get(mark) as number | undefined) ?? 0
  return { epoch: look('journal_epoch'), offset: look('journal_offset') }
}

export const isBefore = (one: JournalPlace, other: JournalPlace): boolean =>
  one.epoch < other.epoch || (one.epoch === other.epoch && one.offset < other.offset)

/** The writer of the marks; to be called inside the transaction that writes the rows. */
export function makePlaceWriter(db: Sqlite): (place: JournalPlace) => void {
  const write: Statement = db.prepare(
    'INSERT INTO ledger_mark (mark, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
  )
  return ({ epoch, offset }) => {
    write.run('journal_epoch', epoch)
    write.run('journal_offset', offset)
  }
}
