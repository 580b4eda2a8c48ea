// From where on all rows are there: what is below was deleted by retention, or is about to be.
import type { Sqlite } from './driver.ts'

/** No request with a smaller id can be relied on to be there. */
export function firstKept(db: Sqlite): number {
  const mark = db.prepare("SELECT value FROM ledger_mark WHERE mark = 'rows_from_id'").pluck().get()
  return (mark as number | undefined) ?? 0
}

/** Before the first row is deleted. It never goes back. */
export function markFirstKept(db: Sqlite, id: number): void {
  db.prepare(
    "INSERT INTO ledger_mark (mark, value) VALUES ('rows_from_id', ?) ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
  ).run(id)
}
