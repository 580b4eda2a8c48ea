// What the canary of a rollout has cost, also where retention has deleted the rows: its budget is that of the whole attempt.
import type { Sqlite } from './driver.ts'
import { idsPerRequest } from './ledgerId.ts'
import { firstIdFor } from './rolloutRows.ts'

// In this order: SQLite would look through all attempts there are, for each few rows that are deleted.
const ofCanary = `FROM request_rollout x CROSS JOIN rollout_case c ON c.id = x.case_id
  CROSS JOIN attempt a ON a.id > x.id AND a.id < x.id + ${idsPerRequest}
  WHERE c.arm = (SELECT id FROM name WHERE text = 'canary')`

const prefix = 'rollout_spent:'
const markOf = (rollout: number, attempt: number): string => `${prefix}${rollout}:${attempt}`

/** Nano-USD of the requests that were assigned to the canary in one attempt; calls without a known price count nothing. */
export function readSpent(db: Sqlite, rollout: number, attempt: number, since: number): number {
  const ofRows = db
    .prepare(
      `SELECT coalesce(sum(a.cost), 0) ${ofCanary} AND x.id >= @from AND c.rollout_id = @rollout AND c.attempt = @attempt`,
    )
    .pluck()
    .get({ from: firstIdFor(since), rollout, attempt }) as number
  const ofDeleted = db.prepare('SELECT value FROM ledger_mark WHERE mark = ?').pluck().get(markOf(rollout, attempt))
  return ofRows + ((ofDeleted as number | undefined) ?? 0)
}

/** Adds up what rows with ids below `end` have cost in attempts that run. In the transaction that deletes them. */
export function keepSpent(db: Sqlite, end: number): void {
  const running = db
    .prepare("SELECT id, attempt FROM rollout_state WHERE phase IN ('stepping', 'paused', 'awaiting')")
    .all() as { id: number; attempt: number }[]
  const marks = new Set(running.map(({ id, attempt }) => markOf(id, attempt)))
  const old = db.prepare('SELECT mark FROM ledger_mark WHERE mark >= ? AND mark < ?').pluck()
  for (const mark of old.all(prefix, `${prefix}~`) as string[])
    if (!marks.has(mark)) db.prepare('DELETE FROM ledger_mark WHERE mark = ?').run(mark)
  if (marks.size === 0) return
  const sums = db
    .prepare(
      `SELECT c.rollout_id AS rollout, c.attempt, sum(a.cost) AS nano ${ofCanary} AND x.id < ? AND c.rollout_id IS NOT NULL
       GROUP BY 1, 2 HAVING sum(a.cost) > 0`,
    )
    .all(end) as { rollout: number; attempt: number; nano: number }[]
  const add = db.prepare(
    'INSERT INTO ledger_mark (mark, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value',
  )
  for (const { rollout, attempt, nano } of sums) {
    const mark = markOf(rollout, attempt)
    if (marks.has(mark)) add.run(mark, nano)
  }
}
