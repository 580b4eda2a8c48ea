// Sums up rows of a rollout in the database itself: reading them one by one took longer than what their requests had cost.
import { isTold, unavailable } from '../rollouts/hardRows.ts'
import { parseUnit, type RowFolder } from '../rollouts/index.ts'
import type { Sqlite } from './driver.ts'

/** Rows of one attempt with ids of `[from, to)`; those of them count that are evidence. */
export interface RowRange {
  readonly rollout: number
  readonly attempt: number
  readonly from: number
  readonly to: number
}

/** What of a case is counted. */
interface Case {
  readonly id: number
  readonly revision: number
  readonly canary: boolean
  readonly ppm: number
  readonly firstAttempt: string
  readonly seen: number
  readonly bad: number
}

/** Looking for a case is most of the work: last. */
const ofCases =
  'case_id IN (SELECT id FROM rollout_case WHERE rollout_id = @rollout AND attempt = @attempt AND seen IS NOT NULL)'
const ofRange = `FROM request_rollout WHERE id >= @from AND id < @to AND ${ofCases}`

/** The id of the row after so many; undefined when there are not as many. */
export function findEnd(db: Sqlite, range: RowRange, rows: number): number | undefined {
  return db
    .prepare(`SELECT id ${ofRange} ORDER BY id LIMIT 1 OFFSET @rows`)
    .pluck()
    .get({ ...range, rows }) as number | undefined
}

/** Those that rows name: an attempt whose share is changed every hour has a hundred thousand others after some months. */
function readCases(db: Sqlite, named: string): Map<number, Case> {
  const rows = db
    .prepare(
      `SELECT c.id, c.revision, a.text = 'canary', c.propensity_ppm, f.text, c.seen, c.bad_mask
       FROM rollout_case c JOIN name a ON a.id = c.arm JOIN name f ON f.id = c.first_attempt_class
       WHERE c.id IN (SELECT value FROM json_each(?))`,
    )
    .raw()
    .all(named) as [number, number, number, number, string, number, number][]
  const cases = rows.map(
    ([id, revision, canary, ppm, firstAttempt, seen, bad]): Case => ({
      ...{ id, revision, canary: canary === 1, ppm },
      ...{ firstAttempt, seen, bad },
    }),
  )
  return new Map(cases.map((one) => [one.id, one]))
}

/** As `ofRange`, where the cases are known. */
const ofNamed =
  'FROM request_rollout WHERE id >= @from AND id < @to AND case_id IN (SELECT value FROM json_each(@named))'

interface NamedRange extends RowRange {
  /** Numbers of cases, as JSON. */
  readonly named: string
}

type Alike = [caseId: number, epoch: number, shares: string | null, arrival: number, times: number]

/**
 * Adds all rows of a range, to the same result as one by one. Takes room by their number where units stay together: keep ranges small.
 *
 * Sorting takes longer with each column, so two numbers share one of 64 bits: epochs of a second or more take up to 33.
 */
export function addRange(db: Sqlite, range: RowRange, folder: RowFolder): void {
  const alike = db
    .prepare(
      `SELECT case_id, epoch, shares, max(arrival_seq), count(*) ${ofRange} GROUP BY epoch | (case_id << 34), shares`,
    )
    .raw()
    .all(range) as Alike[]
  const latest = new Map<number, number>()
  for (const [id, , , arrival] of alike) latest.set(id, Math.max(arrival, latest.get(id) ?? 0))
  const named = JSON.stringify([...latest.keys()])
  const cases = readCases(db, named)
  for (const [id, epoch, shares, arrival, times] of alike) {
    const { revision, canary, ppm, seen, bad } = cases.get(id)!
    const judged = shares === null ? undefined : (JSON.parse(shares) as Record<number, number>)
    folder.count({ revision, arrival, record: { epoch, ppm, canary, seen, bad, shares: judged } }, times)
  }
  addHard(db, { ...range, named }, cases, latest, folder)
  if (folder.isSticky) addPlaces(db, { ...range, named }, cases, folder)
}

/**
 * What the rule of hard faults sees, from the last row on that ends every run: few, where the canary answers anybody.
 * @param latest the last arrival of each case
 */
function addHard(
  db: Sqlite,
  range: NamedRange,
  cases: ReadonlyMap<number, Case>,
  latest: ReadonlyMap<number, number>,
  { hard }: RowFolder,
): void {
  const { sight } = hard
  if (sight.kinds.length === 0) return
  const passed = [...sight.kinds, unavailable]
  let reset = 0
  for (const [id, arrival] of latest) {
    const one = cases.get(id)!
    if (one.canary && isTold(sight, one.seen) && !passed.includes(one.firstAttempt)) reset = Math.max(reset, arrival)
  }
  const rows = db
    .prepare(`SELECT arrival_seq, case_id ${ofNamed} AND arrival_seq >= @reset`)
    .raw()
    .all({ ...range, reset }) as [arrival: number, caseId: number][]
  for (const [arrival, id] of rows) {
    const one = cases.get(id)!
    if (isTold(sight, one.seen)) hard.add(arrival, one.canary, one.firstAttempt)
  }
}

/** Two columns that are read one after the other: the driver takes twice as long for rows of both. */
function addPlaces(db: Sqlite, range: NamedRange, cases: ReadonlyMap<number, Case>, folder: RowFolder): void {
  const pluck = (column: string) => db.prepare(`SELECT ${column} ${ofNamed} ORDER BY id`).pluck().all(range)
  const units = pluck('unit') as (string | null)[]
  const ids = pluck('case_id') as number[]
  for (let row = 0; row < ids.length; row++) {
    const unit = units[row]!
    const { canary, seen, bad } = cases.get(ids[row]!)!
    folder.place(unit === null ? undefined : parseUnit(unit), canary, seen, bad)
  }
}
