// What the keeper does to the database: checkpoints, deletion of old rows, erasure of a user, each in one short transaction.
import type { Sqlite } from './driver.ts'
import { classifyFailure } from './failure.ts'
import { firstKept, markFirstKept } from './firstKept.ts'
import { unfoldFrom } from './rolloutFolds.ts'
import { keepSpent } from './rolloutSpent.ts'

export interface Checkpoint {
  /** Frames in the log, and those of them that are in the database file now. */
  frames: number
  moved: number
  ms: number
}

/** Frames (pages of 4 KB) in the log from which writers are held up for a moment, so that it can start anew. */
const tooLong = 16_384

/**
 * Moves the log into the file. First beside the writer; but a log starts anew only where all of it is moved when the next commit comes, and
 * under constant load there is always one in between. So from 64 MB on a second pass holds the writer for the short rest. Then it makes
 * the first commit after the checkpoint itself: that one writes the log's new header and waits for the disk, which the event loop must not.
 */
export function checkpoint(db: Sqlite): Checkpoint {
  const start = performance.now()
  let result = run(db, 'PASSIVE')
  if (result.frames > tooLong) result = run(db, 'RESTART')
  if (result.moved >= result.frames && result.frames > 0) commitFirst(db)
  return { ...result, ms: performance.now() - start }
}

function commitFirst(db: Sqlite): void {
  try {
    db.prepare(
      "INSERT INTO ledger_mark (mark, value) VALUES ('checkpoint_at', ?) ON CONFLICT DO UPDATE SET value = excluded.value",
    ).run(Date.now())
  } catch (error) {
    // Another program holds the lock: the log is moved all the same, and no row was refused.
    if (classifyFailure(error).code !== 'locked') throw error
  }
}

function run(db: Sqlite, mode: 'PASSIVE' | 'RESTART'): { frames: number; moved: number } {
  const [row] = db.pragma(`wal_checkpoint(${mode})`) as { busy: number; log: number; checkpointed: number }[]
  return { frames: Math.max(0, row?.log ?? 0), moved: Math.max(0, row?.checkpointed ?? 0) }
}

/**
 * Deletes up to `limit` requests with ids below `before`, and their attempts. Returns the number of requests deleted; less than `limit`
 * means that it is done. The rollup stays. The mark is moved first, so that `verify` never takes half-deleted days for damage.
 */
export function deleteBefore(db: Sqlite, before: number, limit: number): number {
  const deleteAll = db.transaction(() => {
    markFirstKept(db, before)
    const last = db
      .prepare('SELECT max(id) FROM (SELECT id FROM request WHERE id < ? ORDER BY id LIMIT ?)')
      .pluck()
      .get(before, limit) as number | null
    // Attempts lie between their request's id and the next one's.
    const end = last === null ? before : last + 64
    keepSpent(db, end)
    const attempts = db.prepare('DELETE FROM attempt WHERE id < ?')
    const { changes } = db.prepare('DELETE FROM request WHERE id < ?').run(end)
    db.prepare('DELETE FROM request_rollout WHERE id < ?').run(end)
    db.prepare('DELETE FROM trace WHERE id < ?').run(end)
    attempts.run(end)
    return changes
  })
  return deleteAll.immediate()
}

/** Deletes up to `limit` traces of requests with ids below `before`; the requests stay. Returns the number deleted. */
export function deleteTraces(db: Sqlite, before: number, limit: number): number {
  const forget = db.prepare('DELETE FROM trace WHERE id IN (SELECT id FROM trace WHERE id < ? ORDER BY id LIMIT ?)')
  return db.transaction(() => forget.run(before, limit).changes).immediate()
}

/**
 * Takes a user's hash out of up to `limit` requests, and with the last of them out of what was told of budgets. Returns the number of
 * requests changed. Sums are not per user: they stay as they are.
 */
export function eraseUser(db: Sqlite, user: string, limit: number): number {
  const erase = db.transaction(() => {
    const ids = db.prepare('SELECT id FROM request WHERE user = ? LIMIT ?').pluck().all(user, limit) as number[]
    const request = db.prepare('UPDATE request SET user = NULL, tags = NULL WHERE id = ?')
    const rollout = db.prepare('UPDATE request_rollout SET unit = NULL WHERE id = ?')
    const kept = firstKept(db)
    for (const id of ids) {
      request.run(id)
      rollout.run(id)
      // Those that retention is deleting were folded for good: what is gone already could not be folded anew.
      if (id >= kept) unfoldFrom(db, id)
    }
    // Those of requests that run, or whose rows have just been written.
    db.prepare('UPDATE intent SET user = NULL WHERE user = ?').run(user)
    if (ids.length < limit) {
      // A budget may be counted by user: its messages say of whom, and so does what is remembered of them. A hash is long: nothing else has it.
      db.prepare("UPDATE event SET body = replace(body, @user, 'erased') WHERE instr(body, @user) > 0").run({ user })
      db.prepare('DELETE FROM alert WHERE instr(entity, ?) > 0').run(user)
    }
    return ids.length
  })
  return erase.immediate()
}
