// Folds the rows of rollouts that run into sums, so that a start need not read them all.
import { deserialize, serialize } from 'node:v8'
import type { KeptRows } from '../config/rolloutTypes.ts'
import { type RowFold, RowFolder } from '../rollouts/index.ts'
import type { Sqlite } from './driver.ts'
import { markFirstKept } from './firstKept.ts'
import { firstIdFor, readBetween, readDefinition } from './rolloutRows.ts'
import { addRange, findEnd, type RowRange } from './rolloutSums.ts'

/** Of the form of a fold. Others are passed over: then rows are read instead. */
const form = 2
/** Rows in one fold: a transaction of about a millisecond. */
const mostRows = 10_000
/** Folds that are thrown away in one transaction. */
const mostStale = 20

/** The folds of an attempt and the rows since. @param since Unix milliseconds with which the attempt began */
export function readFolded(db: Sqlite, rollout: number, attempt: number, since: number): KeptRows {
  const stored = db
    .prepare('SELECT to_id, fold FROM rollout_fold WHERE rollout = ? AND attempt = ? ORDER BY to_id')
    .all(rollout, attempt) as { to_id: number; fold: Buffer }[]
  const folds: RowFold[] = []
  let foldedTo = firstIdFor(since)
  for (const { to_id: to, fold } of stored) {
    const read = deserialize(fold) as RowFold & { form: number }
    if (read.form !== form) break
    folds.push(read)
    foldedTo = to
  }
  const records = readBetween(db, rollout, attempt, foldedTo, Number.MAX_SAFE_INTEGER)
  return { folds, records, foldedTo }
}

export interface Folded {
  /** That were not folded before. */
  rows: number
  /** Nothing is left below `before`. */
  isDone: boolean
}

/**
 * Folds what is not folded yet of an attempt's rows with ids below `before`, a part of them at a time: all of them have to be in the database,
 * and none may come later. Throws away the folds of attempts that are over.
 */
export function foldRows(db: Sqlite, rollout: number, attempt: number, before: number): Folded {
  const found = db
    .prepare(
      `SELECT r.definition, s.attempt, s.attempt_at AS since,
        (SELECT max(to_id) FROM rollout_fold f WHERE f.rollout = r.id AND f.attempt = s.attempt) AS folded
       FROM rollout r JOIN rollout_state s ON s.id = r.id WHERE r.id = ?`,
    )
    .get(rollout) as { definition: string; attempt: number; since: number; folded: number | null } | undefined
  if (found?.attempt !== attempt) return { rows: 0, isDone: deleteStale(db) < mostStale }
  const from = found.folded ?? firstIdFor(found.since)
  const range = { rollout, attempt, from, to: before }
  const to = findEnd(db, range, mostRows) ?? before
  const { rows, fold } = foldOf(db, found.definition, { ...range, to })
  const write = db.transaction(() => {
    if (fold) db.prepare('INSERT INTO rollout_fold VALUES (?, ?, ?, ?)').run(rollout, attempt, to, fold)
    return deleteStale(db)
  })
  const deleted = write.immediate()
  return { rows, isDone: to === before && deleted < mostStale }
}

/** Undefined where there are no rows. */
function foldOf(db: Sqlite, definition: string, range: RowRange): { rows: number; fold: Buffer | undefined } {
  const folder = new RowFolder(readDefinition(definition).policy)
  addRange(db, range, folder)
  return { rows: folder.rows, fold: folder.rows > 0 ? serialize({ form, ...folder.fold() }) : undefined }
}

/**
 * Folds what attempts that run have below `before`, where rows are about to be deleted: they go on counting. None of these may come
 * later. What is folded already is parted there, so that what is made anew of later rows (see `unfoldFrom`) needs none of those that are
 * gone. Does a part of it at a time; @returns whether nothing is left to do: from then on `firstKept` is there, so that nothing undoes it.
 */
export function foldBefore(db: Sqlite, before: number): boolean {
  const running = db
    .prepare(
      `SELECT r.id AS rollout, r.definition, s.attempt, s.attempt_at AS since
       FROM rollout r JOIN rollout_state s ON s.id = r.id WHERE s.phase IN ('stepping', 'paused', 'awaiting')`,
    )
    .all() as Running[]
  for (const one of running) {
    if (firstIdFor(one.since) >= before || part(db, one, before)) continue
    if (!foldRows(db, one.rollout, one.attempt, before).isDone) return false
  }
  markFirstKept(db, before)
  return true
}

interface Running {
  readonly rollout: number
  readonly definition: string
  readonly attempt: number
  readonly since: number
}

/** Parts what is folded at an id; false where it does not reach as far. */
function part(db: Sqlite, { rollout, definition, attempt, since }: Running, at: number): boolean {
  const fold = db
    .prepare(
      'SELECT to_id, fold FROM rollout_fold WHERE rollout = ? AND attempt = ? AND to_id >= ? ORDER BY to_id LIMIT 1',
    )
    .get(rollout, attempt, at) as { to_id: number; fold: Buffer } | undefined
  if (!fold || fold.to_id === at) return fold !== undefined
  const from = db
    .prepare('SELECT max(to_id) FROM rollout_fold WHERE rollout = ? AND attempt = ? AND to_id < ?')
    .pluck()
    .get(rollout, attempt, at) as number | null
  const early = foldOf(db, definition, { rollout, attempt, from: from ?? firstIdFor(since), to: at })
  const late = foldOf(db, definition, { rollout, attempt, from: at, to: fold.to_id })
  // Of one whose rows are not all there any more nothing can be made anew.
  if (early.fold === undefined || early.rows + late.rows !== (deserialize(fold.fold) as RowFold).rows) return true
  const write = db.transaction(() => {
    const insert = db.prepare('INSERT OR REPLACE INTO rollout_fold VALUES (?, ?, ?, ?)')
    insert.run(rollout, attempt, at, early.fold)
    if (late.fold) insert.run(rollout, attempt, fold.to_id, late.fold)
  })
  write.immediate()
  return true
}

/** Folds of attempts that are over: a start needs them no more. */
function deleteStale(db: Sqlite): number {
  const { changes } = db
    .prepare(
      `DELETE FROM rollout_fold WHERE rowid IN (SELECT rowid FROM rollout_fold WHERE (rollout, attempt) NOT IN
        (SELECT id, attempt FROM rollout_state WHERE phase IN ('stepping', 'paused', 'awaiting')) LIMIT ?)`,
    )
    .run(mostStale)
  return changes
}

/** Forgets what was folded of a request and of those after it: they are folded again. */
export function unfoldFrom(db: Sqlite, request: number): void {
  db.prepare(
    `DELETE FROM rollout_fold WHERE to_id > @request AND (rollout, attempt) IN
      (SELECT c.rollout_id, c.attempt FROM request_rollout x JOIN rollout_case c ON c.id = x.case_id WHERE x.id = @request)`,
  ).run({ request })
}
