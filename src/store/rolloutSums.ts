// Sums up rows of a rollout in the database itself: reading them one by one took longer than what their requests had cost.
import { unavailable } from '../rollouts/hardRows.ts'
import { parseUnit, type RowFolder } from '../rollouts/index.ts'
import type { Sqlite } from './driver.ts'

/** Rows of one attempt with ids of `[from, to)`; those of them count that are evidence. */
export interface RowRange {
  readonly rollout: number
  readonly attempt: number
  readonly from: number
  readonly to: number
}

const ofRange =
  'FROM request_rollout WHERE id >= @from AND id < @to AND rollout_id = @rollout AND attempt = @attempt AND seen IS NOT NULL'

/** The id of the row after so many; undefined when there are not as many. */
export function findEnd(db: Sqlite, range: RowRange, rows: number): number | undefined {
  return db
    .prepare(`SELECT id ${ofRange} ORDER BY id LIMIT 1 OFFSET @rows`)
    .pluck()
    .get({ ...range, rows }) as number | undefined
}

type Alike = [
  revision: number,
  canary: number,
  ppm: number,
  epoch: number,
  seen: number,
  bad: number,
  shares: string | null,
  arrival: number,
  times: number,
]

/**
 * Adds all rows of a range, to the same result as one by one. Takes room by their number where units stay together: keep ranges small.
 *
 * Sorting takes longer with each column, so numbers share one of 64 bits: masks take up to 28 (policies have 25 guards at most), parts
 * per million 20, epochs of a second or more 33.
 */
export function addRange(db: Sqlite, range: RowRange, folder: RowFolder): void {
  const named = db.prepare("SELECT id FROM name WHERE text = 'canary'").pluck().get() as number | undefined
  // Numbers of names are above 0.
  const bound = { ...range, canary: named ?? -1 }
  const alike = db
    .prepare(
      `SELECT revision, arm = @canary, propensity_ppm, epoch, seen, bad_mask, shares, max(arrival_seq), count(*) ${ofRange}
       GROUP BY seen | (bad_mask << 31), propensity_ppm | (revision << 20), epoch | ((arm = @canary) << 42), shares`,
    )
    .raw()
    .all(bound) as Alike[]
  for (const [revision, canary, ppm, epoch, seen, bad, shares, arrival, times] of alike) {
    const judged = shares === null ? undefined : (JSON.parse(shares) as Record<number, number>)
    const record = { epoch, ppm, canary: canary === 1, seen, bad, shares: judged }
    folder.count({ revision, arrival, record }, times)
  }
  if (named !== undefined) addHard(db, bound, folder)
  if (folder.isSticky) addPlaces(db, bound, folder)
}

/** What the rule of hard faults sees, from the last row on that ends every run: few, where the canary answers anybody. */
function addHard(db: Sqlite, bound: RowRange & { canary: number }, { hard }: RowFolder): void {
  const { told, slow, kinds } = hard.sight
  if (kinds.length === 0) return
  const ofTold = `${ofRange} AND (seen & @told) <> 0 AND (seen & @slow) = 0`
  const given = { ...bound, told, slow }
  const passed = 'SELECT id FROM name WHERE text IN (SELECT value FROM json_each(@passed))'
  const reset = db
    .prepare(`SELECT max(arrival_seq) ${ofTold} AND arm = @canary AND first_attempt_class NOT IN (${passed})`)
    .pluck()
    .get({ ...given, passed: JSON.stringify([...kinds, unavailable]) }) as number | null
  const rows = db
    .prepare(
      `SELECT arrival_seq, arm = @canary, (SELECT text FROM name WHERE id = first_attempt_class) ${ofTold} AND arrival_seq >= @reset`,
    )
    .raw()
    .all({ ...given, reset: reset ?? 0 }) as [arrival: number, canary: number, firstAttempt: string][]
  for (const [arrival, canary, firstAttempt] of rows) hard.add(arrival, canary === 1, firstAttempt)
}

/** Two columns that are read one after the other: the driver takes twice as long for rows of both. */
function addPlaces(db: Sqlite, bound: RowRange & { canary: number }, folder: RowFolder): void {
  const { guards } = folder
  const bits = { all: (1 << guards) - 1, shift: guards + 1 }
  const units = db.prepare(`SELECT unit ${ofRange} ORDER BY id`).pluck().all(bound) as (string | null)[]
  const marks = db
    .prepare(`SELECT (arm = @canary) | ((seen & @all) << 1) | ((bad_mask & @all) << @shift) ${ofRange} ORDER BY id`)
    .pluck()
    .all({ ...bound, ...bits }) as number[]
  // More than 32 bits, and no more than 51.
  const stride = 2 ** bits.shift
  for (let row = 0; row < marks.length; row++) {
    const unit = units[row]!
    const mark = marks[row]!
    const bad = Math.floor(mark / stride)
    const rest = mark - bad * stride
    folder.place(unit === null ? undefined : parseUnit(unit), (rest & 1) === 1, rest >>> 1, bad)
  }
}
